// Room lb: what nodes tell each other ten times a second, as a datagram of JSON.
import { type IP, isIP } from '../addr/ip.ts';

export interface Beat {
  readonly cluster: string;
  readonly node: string;
  /** Milliseconds until the next one. */
  readonly interval: number;
  /** Addresses that the node answers for, and its claim's epoch. */
  readonly holds: Readonly<Record<IP, number>>;
  /** Addresses that it is about to claim. */
  readonly wants: readonly IP[];
  /** Addresses that it has just given up, for whom, and the epoch of the claim that ended. */
  readonly yields: Readonly<Record<IP, { readonly to: string; readonly epoch: number }>>;
  /** The node leaves: it is no longer counted. */
  readonly bye?: boolean;
}

export function encodeBeat(beat: Beat): Buffer {
  return Buffer.from(JSON.stringify(beat));
}

/** Undefined for whatever is not one: anybody may send to a port. */
export function decodeBeat(bytes: Uint8Array): Beat | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
  return isBeat(value) ? value : undefined;
}

function isBeat(value: unknown): value is Beat {
  if (!isRecord(value)) return false;
  const { cluster, node, interval, holds, wants, yields, bye } = value;
  return (
    typeof cluster === 'string' &&
    typeof node === 'string' &&
    typeof interval === 'number' &&
    interval > 0 &&
    isRecord(holds) &&
    Object.entries(holds).every(([ip, epoch]) => isIP(ip) && isEpoch(epoch)) &&
    Array.isArray(wants) &&
    wants.every((ip) => typeof ip === 'string' && isIP(ip)) &&
    isRecord(yields) &&
    Object.entries(yields).every(
      ([ip, each]) => isIP(ip) && isRecord(each) && typeof each['to'] === 'string' && isEpoch(each['epoch']),
    ) &&
    (bye === undefined || typeof bye === 'boolean')
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEpoch(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
