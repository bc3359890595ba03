// Room wire: intervals of one address or port as nf_tables keeps them: where each begins, and where it no longer holds.
import { bigIntToIP, ipToBigInt } from '../../addr/ip.ts';
import { parsePrefix, prefixSize } from '../../addr/prefix.ts';
import { DATATYPES, NftValueError, type NftValueType } from './datatype.ts';
import type { NftSet, NftValue } from './items.ts';

/** `end` is the first value after it; absent when the interval reaches to the last value that there is. */
export interface Interval {
  readonly start: bigint;
  readonly end?: bigint;
}

/** Types whose values are big-endian, so that the kernel's order of bytes is their order. */
const ORDERED: readonly NftValueType[] = ['ipv4_addr', 'ipv6_addr', 'inet_service'];

/** Of one value; those of concatenations are kept otherwise (concatenation.ts). */
export function hasIntervals(set: NftSet): boolean {
  if (!set.flags?.includes('interval') || set.key.length > 1) return false;
  if (!isOrdered(set.key[0] as NftValueType)) {
    throw new NftValueError(`set ${set.set}: intervals of ${set.key.join(' . ')} are not supported`);
  }
  return true;
}

export function isOrdered(type: NftValueType): boolean {
  return ORDERED.includes(type);
}

/** A prefix, a range `first-last`, or one value. */
export function parseInterval(value: NftValue, type: NftValueType): Interval {
  const text = String(value);
  const number = (part: string) => (type === 'inet_service' ? BigInt(part) : ipToBigInt(part));
  let start: bigint;
  let end: bigint;
  if (text.includes('/')) {
    const prefix = parsePrefix(text);
    start = ipToBigInt(prefix.ip);
    end = start + prefixSize(prefix);
  } else {
    const [first, last] = text.split('-') as [string, string | undefined];
    start = number(first);
    end = number(last ?? first) + 1n;
  }
  return end >= size(type) ? { start } : { start, end };
}

function size(type: NftValueType): bigint {
  return 1n << BigInt(8 * DATATYPES[type].length);
}

/** In the shortest form: one value, a prefix, a range. */
export function formatInterval({ start, end }: Interval, type: NftValueType): NftValue {
  const after = end ?? size(type);
  const count = after - start;
  if (type === 'inet_service') return count === 1n ? Number(start) : `${start}-${after - 1n}`;
  const family = type === 'ipv6_addr' ? 6 : 4;
  const first = bigIntToIP(start, family);
  if (count === 1n) return first;
  const bits = count.toString(2).length - 1;
  const aligned = count === 1n << BigInt(bits) && start % count === 0n;
  return aligned ? `${first}/${8 * DATATYPES[type].length - bits}` : `${first}-${bigIntToIP(after - 1n, family)}`;
}

export function intervalBytes(bound: bigint, type: NftValueType): Uint8Array {
  const bytes = new Uint8Array(DATATYPES[type].length);
  let rest = bound;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

export function boundOf(bytes: Uint8Array, type: NftValueType): bigint {
  return bytes.subarray(0, DATATYPES[type].length).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}
