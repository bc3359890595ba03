// Room cluster: flows that the nodes' connection tracking has seen, as policies would have to allow them.
import { setTimeout as pause } from 'node:timers/promises';
import { type IP, isIP } from '../addr/ip.ts';
import { readConntrack, type SeenEntry } from '../kernel/conntrack-linux.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import type { SeenFlow } from '../plan/policy/recommend.ts';
import type { Protocol } from '../plan/policy/rules.ts';
import { placeOfNode } from './pod-place.ts';

const PROTOCOLS: Readonly<Record<number, Protocol>> = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' };
/** Entries of connections that are over stay for at least this long: ten seconds of a TCP connection that was reset. */
const LOOK_EVERY_MS = 2000;
/** Linux gives clients ports from here on; a server's are below, nearly always. */
const FIRST_EPHEMERAL = 32768;

/** Looks at once, every 2 s, and at the end. `onLook` is told how many flows there are so far. */
export async function watchFlows(
  cluster: string,
  nodes: readonly string[],
  engine: PolicyEngine,
  milliseconds: number,
  onLook: (count: number) => void = () => {},
): Promise<SeenFlow[]> {
  const seen = new Map<string, SeenFlow>();
  for (const end = Date.now() + milliseconds; ; ) {
    for (const node of nodes) {
      for (const entry of readConntrack(placeOfNode(cluster, node).netns)) {
        for (const flow of flowsOf(entry, node, engine)) seen.set(flowKey(flow), flow);
      }
    }
    onLook(seen.size);
    const left = end - Date.now();
    if (left <= 0) return [...seen.values()];
    await pause(Math.min(LOOK_EVERY_MS, left));
  }
}

export function flowKey({ from, to, protocol, port }: SeenFlow): string {
  return `${from} ${to} ${protocol} ${port}`;
}

/**
 * Where Services were translated, the answer comes from the pod that was spoken to. A pod's own node knows how its clients look to it, and what it
 * asks for; other nodes on the way see one of both at most. TCP that was never answered is no flow.
 */
export function flowsOf({ original, reply, isAnswered }: SeenEntry, node: string, engine: PolicyEngine): SeenFlow[] {
  const protocol = PROTOCOLS[original.protocol];
  if (!protocol || original.srcPort === undefined || reply.srcPort === undefined) return [];
  if (protocol === 'TCP' && !isAnswered) return [];
  const taken = { from: original.src, to: reply.src, protocol, port: reply.srcPort };
  const isBackward = taken.port >= FIRST_EPHEMERAL && original.srcPort < FIRST_EPHEMERAL;
  // Tracking that begins in the middle of a connection takes the first packet that it sees for the client's.
  const flow = isBackward ? { from: reply.src, to: original.src, protocol, port: original.srcPort } : taken;
  const isHere = (ip: IP) => engine.podAt(ip)?.node === node;
  // What a pod's own node refuses has left the client's node and is tracked there.
  const isTaken = isAnswered || isHere(flow.to) || !engine.podAt(flow.to);
  return isTaken && (isHere(flow.from) || isHere(flow.to)) ? [flow] : [];
}

/** One flow a line: JSON of our own (`{"from": "10.244.0.5", "to": "shop/db", "protocol": "TCP", "port": 5432}`), or what `conntrack -L` and `-E` print. */
export function readFlows(text: string, engine: PolicyEngine): { flows: SeenFlow[]; unread: number } {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const found = lines.map((line) => (line.startsWith('{') ? ofJson(line, engine) : ofConntrack(line)));
  const flows = found.flatMap((flow) => flow ?? []);
  return {
    flows: [...new Map(flows.map((flow) => [flowKey(flow), flow])).values()],
    unread: lines.length - flows.length,
  };
}

function ofJson(line: string, engine: PolicyEngine): SeenFlow | undefined {
  try {
    const { from, to, protocol = 'TCP', port } = JSON.parse(line) as Record<string, unknown>;
    const [source, target] = [from, to].map((end) => addressOf(String(end), engine));
    const word = String(protocol).toUpperCase() as Protocol;
    if (!source || !target || !['TCP', 'UDP', 'SCTP'].includes(word) || !Number.isInteger(port)) return undefined;
    return { from: source, to: target, protocol: word, port: port as number };
  } catch {
    return undefined;
  }
}

function addressOf(end: string, engine: PolicyEngine): IP | undefined {
  return isIP(end) ? end : engine.pods.get(end)?.ips[0];
}

function ofConntrack(line: string): SeenFlow | undefined {
  const protocol = /\b(tcp|udp|sctp)\b/.exec(line)?.[1]?.toUpperCase() as Protocol | undefined;
  const [from] = [...line.matchAll(/\bsrc=(\S+)/g)].map((match) => match[1]!);
  const [, answerer = undefined] = [...line.matchAll(/\bsrc=(\S+)/g)].map((match) => match[1]!);
  const [, port = undefined] = [...line.matchAll(/\bsport=(\d+)/g)].map((match) => Number(match[1]));
  const isUnanswered = protocol === 'TCP' && line.includes('[UNREPLIED]');
  if (!protocol || !from || !answerer || !port || isUnanswered) return undefined;
  return isIP(from) && isIP(answerer) ? { from, to: answerer, protocol, port } : undefined;
}
