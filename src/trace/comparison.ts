// Room trace: what was said beside what was seen, node by node, and whether it is the same.
import { POLICY_TABLE } from '../plan/policy/base.ts';
import type { Addresses, Stage, Trace, Way } from './hop.ts';
import type { ProbeResult } from './probe.ts';
import type { Visit } from './sighting.ts';

/** What is said of packets on their way back. */
export const ANSWER = 'answer';

export interface ComparedRow {
  readonly at: string;
  readonly said: string;
  readonly seen: string;
  readonly same: boolean;
}

export interface Comparison {
  /** The way that the packet took, of those that it might have. */
  readonly way: Way;
  readonly rows: readonly ComparedRow[];
  readonly same: boolean;
}

/** A node on a way: how the packet leaves it, or at which stage it ends there. */
interface Passage {
  readonly node: string;
  readonly packet: Addresses;
  readonly ends?: Stage;
}

export function compare(trace: Trace, visits: readonly Visit[], result: ProbeResult): Comparison {
  const all = trace.ways.map((way) => ({ way, rows: rowsOf(trace, way, visits, result) }));
  const wrong = ({ rows }: { rows: readonly ComparedRow[] }) => rows.filter(({ same }) => !same).length;
  const [best] = all.sort((a, b) => wrong(a) - wrong(b));
  return { ...best!, same: wrong(best!) === 0 };
}

function rowsOf(trace: Trace, way: Way, visits: readonly Visit[], result: ProbeResult): ComparedRow[] {
  const requests = visits.filter(({ direction }) => direction === 'request');
  const passages = passagesOf(trace, way);
  const rows = passages.map((passage) => passageRow(passage, requests));
  const known = new Set(passages.map(({ node }) => node));
  const strangers = requests.filter(({ node }) => !known.has(node));
  return [
    ...rows,
    ...strangers.map(({ node, came }) => ({
      at: node,
      said: 'does not come here',
      seen: `came, ${words(came)}`,
      same: false,
    })),
    ...answerRows(way, visits),
    endRow(trace, way, result),
  ];
}

/** Where there is no node yet, at the socket, and where the receiver itself refuses, rules see nothing. */
function passagesOf({ packet }: Trace, { hops }: Way): Passage[] {
  const passages: Passage[] = [];
  let now: Addresses = packet;
  for (const hop of hops) {
    if (hop.node === undefined || hop.stage === 'name' || hop.stage === 'reply') continue;
    if (hop.packet) now = hop.packet;
    const isSilent =
      hop.stage === 'socket' || (hop.stage === 'route' && hop.by.includes(`Node/${hop.node}`) && !hop.ok);
    if (isSilent) continue;
    const ends = hop.ok || hop.stage === 'delivery' ? {} : { ends: hop.stage };
    const passage: Passage = { node: hop.node, packet: now, ...ends };
    if (passages.at(-1)?.node === hop.node) passages[passages.length - 1] = passage;
    else passages.push(passage);
  }
  return passages;
}

function passageRow({ node, packet, ends }: Passage, visits: readonly Visit[]): ComparedRow {
  const here = visits.filter((visit) => visit.node === node);
  const isIt = (visit: Visit) =>
    ends ? endsAt(visit, ends) : visit.left !== undefined && isPacket(visit.left.packet, packet);
  const visit = here.find(isIt) ?? here[0];
  const said = ends ? `ends (${ends})` : `passes ${tuple(packet)}`;
  return { at: node, said, seen: visit ? visitWords(visit) : 'not seen', same: visit !== undefined && isIt(visit) };
}

function endsAt({ ended, left }: Visit, stage: Stage): boolean {
  if (stage === 'route') return !ended && !left;
  if (!ended) return false;
  return stage === 'egress' || stage === 'ingress' ? ended.table === POLICY_TABLE : ended.table !== POLICY_TABLE;
}

function isPacket(seen: { src: string; dst: string; dstPort: number }, { src, dst, port }: Addresses): boolean {
  return seen.src === src && seen.dst === dst && seen.dstPort === port;
}

function visitWords({ came, over, left, ended }: Visit): string {
  const from = over ? `came by ${over}` : 'sent';
  if (ended) return `${from}, ended in ${ended.table} ${ended.chain}`;
  if (!left) return `${from} ${words(came)}, and found no way on`;
  const changed = words(left.packet) === words(came) ? '' : `${words(came)} became `;
  return `${from}, ${changed}${words(left.packet)}${left.by ? ` by ${left.by}` : ', taken in'}`;
}

function words({ src, dst, dstPort }: { src: string; dst: string; dstPort: number }): string {
  return tuple({ src, dst, port: dstPort });
}

function tuple({ src, dst, port }: Addresses): string {
  return `${src} -> ${dst}:${port}`;
}

/** Only seen where nodes pass it on; nothing is said of a way that the packet did not go. */
function answerRows({ ending }: Way, visits: readonly Visit[]): ComparedRow[] {
  if (ending.kind !== 'delivered') return [];
  const answers = visits.filter((visit) => visit.direction === 'answer' && visit.left);
  return answers.map(({ node, came, left }) => {
    const back = (packet: { src: string; srcPort: number; dst: string }) =>
      `${packet.src}:${packet.srcPort} -> ${packet.dst}`;
    const changed = back(left!.packet) === back(came) ? '' : `${back(came)} became `;
    return {
      at: node,
      said: ANSWER,
      seen: `${changed}${back(left!.packet)}${left!.by ? ` by ${left!.by}` : ', taken in'}`,
      same: true,
    };
  });
}

const EXPECTED = { delivered: 'connected', refused: 'refused', unreachable: 'unreachable', lost: 'no answer' } as const;

function endRow({ packet: { protocol } }: Trace, { ending }: Way, { outcome, milliseconds }: ProbeResult): ComparedRow {
  const expected = EXPECTED[ending.kind];
  // Who takes a datagram need not answer it; who takes a connection may end it.
  const mayBe: readonly string[] = ending.kind !== 'delivered' ? [] : protocol === 'UDP' ? ['no answer'] : ['reset'];
  const same = outcome === expected || mayBe.includes(outcome);
  return { at: 'sender', said: expected, seen: `${outcome} after ${milliseconds} ms`, same };
}
