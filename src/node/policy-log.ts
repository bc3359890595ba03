// Room node: packets that policies tell of, one a line in a file that `podwire flows` reads; the kernel holds back what is too many.
import { appendFileSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type LoggedPacket, watchLog } from '../kernel/log-watch.ts';
import { logger } from '../observe/log.ts';
import { LOG_PREFIXES } from '../plan/policy/base.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import { type FlowLine, type FlowVerdict, flowLine } from '../plan/policy/flow-line.ts';
import type { Direction } from '../plan/policy/rules.ts';
import { makeFolder } from '../sys/folder.ts';

const log = logger('policies');

/** NFLOG's group of these packets. */
export const POLICY_LOG_GROUP = 201;
/** Of the file; the one before it is kept. */
const MOST_BYTES = 1 << 20;
const NAMES: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
  136: 'UDPLite',
};
const VERDICTS: readonly (readonly [prefix: string, verdict: FlowVerdict])[] = [
  [LOG_PREFIXES.refused, 'drop'],
  [LOG_PREFIXES.allowed, 'allow'],
  [LOG_PREFIXES['would-deny'], 'would-deny'],
];

export function flowsFile(stateDir: string): string {
  return join(stateDir, 'flows.jsonl');
}

export interface PolicyLogParts {
  readonly engine: PolicyEngine;
  readonly nodeName: string;
  readonly stateDir: string;
  readonly netns?: string;
}

/** Undefined where the kernel cannot tell of packets: they are counted all the same. */
export function watchPolicyLog(parts: PolicyLogParts): { close(): void } | undefined {
  const file = flowsFile(parts.stateDir);
  const hear = (packet: LoggedPacket) => {
    const line = lineOf(parts, packet);
    if (line) write(file, line);
  };
  const watch = watchLog(POLICY_LOG_GROUP, hear, parts.netns);
  if (!watch)
    log.warn({ node: parts.nodeName }, 'this kernel does not tell of refused packets (NFLOG): they are only counted');
  return watch;
}

function lineOf({ engine, nodeName }: PolicyLogParts, packet: LoggedPacket): FlowLine | undefined {
  const [prefix, verdict] = VERDICTS.find(([each]) => packet.prefix.startsWith(each)) ?? [];
  if (prefix === undefined || verdict === undefined) return undefined;
  const direction = packet.prefix.slice(prefix.length).trim() as Direction;
  const protocol = NAMES[packet.protocol] ?? String(packet.protocol);
  const logged = { verdict, direction, from: packet.src, to: packet.dst, protocol, port: packet.dstPort };
  return flowLine(engine, nodeName, new Date().toISOString(), logged);
}

function write(file: string, line: FlowLine): void {
  try {
    const size = statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined) makeFolder(dirname(file));
    if ((size ?? 0) > MOST_BYTES) renameSync(file, `${file}.1`);
    appendFileSync(file, `${JSON.stringify(line)}\n`);
  } catch (error) {
    log.warn({ err: error }, 'a packet that policies tell of could not be written down');
  }
}
