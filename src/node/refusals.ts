// Room node: packets that policies refuse, told one a line in a file that `podwire flows` reads; the kernel holds back what is too many.
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type LoggedPacket, watchLog } from '../kernel/log-watch.ts';
import { logger } from '../observe/log.ts';
import { LOG_PREFIXES } from '../plan/policy/base.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import { type Refusal, refusalOf } from '../plan/policy/refusal.ts';
import type { Direction } from '../plan/policy/rules.ts';

const log = logger('policies');

/** NFLOG's group of refused packets. */
export const REFUSALS_GROUP = 201;
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

export function refusalsFile(stateDir: string): string {
  return join(stateDir, 'flows.jsonl');
}

export interface RefusalParts {
  readonly engine: PolicyEngine;
  readonly nodeName: string;
  readonly stateDir: string;
  readonly netns?: string;
}

/** Undefined where the kernel cannot tell of refused packets: they are counted all the same. */
export function watchRefusals(parts: RefusalParts): { close(): void } | undefined {
  const file = refusalsFile(parts.stateDir);
  const watch = watchLog(REFUSALS_GROUP, (packet) => write(file, refusal(parts, packet)), parts.netns);
  if (!watch)
    log.warn({ node: parts.nodeName }, 'this kernel does not tell of refused packets (NFLOG): they are only counted');
  return watch;
}

function refusal({ engine, nodeName }: RefusalParts, packet: LoggedPacket): Refusal {
  const direction = packet.prefix.slice(LOG_PREFIXES.refused.length).trim() as Direction;
  const protocol = NAMES[packet.protocol] ?? String(packet.protocol);
  const refused = { direction, from: packet.src, to: packet.dst, protocol, port: packet.dstPort };
  return refusalOf(engine, nodeName, new Date().toISOString(), refused);
}

function write(file: string, refused: Refusal): void {
  try {
    const size = statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined) mkdirSync(dirname(file), { recursive: true });
    if ((size ?? 0) > MOST_BYTES) renameSync(file, `${file}.1`);
    appendFileSync(file, `${JSON.stringify(refused)}\n`);
  } catch (error) {
    log.warn({ err: error }, 'a refused packet could not be written down');
  }
}
