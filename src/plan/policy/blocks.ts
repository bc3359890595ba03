// Room plan: blocks of addresses that overlap, as intervals that do not, each with the blocks that hold it.
import type { Family } from '../../addr/ip.ts';
import { formatInterval } from '../../wire/nft/interval.ts';
import { wordsOf } from '../proxy-names.ts';
import type { BlockPeer } from './address-block.ts';

export interface Interval {
  /** As nft has it: an address, a prefix, a range. */
  readonly key: string;
  /** Keys of the blocks, sorted. */
  readonly blocks: readonly string[];
}

export function disjoint(blocks: readonly BlockPeer[], family: Family): Interval[] {
  const begins = new Map<bigint, string[]>();
  const ends = new Map<bigint, string[]>();
  for (const { key, ranges, family: own } of blocks) {
    if (own !== family) continue;
    for (const { first, last } of ranges) {
      begins.set(first, [...(begins.get(first) ?? []), key]);
      ends.set(last + 1n, [...(ends.get(last + 1n) ?? []), key]);
    }
  }
  const bounds = [...new Set([...begins.keys(), ...ends.keys()])].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const inside = new Set<string>();
  const { address } = wordsOf(family);
  const size = 1n << (family === 4 ? 32n : 128n);
  return bounds.flatMap((start, i): Interval[] => {
    for (const key of ends.get(start) ?? []) inside.delete(key);
    for (const key of begins.get(start) ?? []) inside.add(key);
    const end = bounds[i + 1];
    if (inside.size === 0 || end === undefined) return [];
    const key = String(formatInterval(end === size ? { start } : { start, end }, address));
    return [{ key, blocks: [...inside].sort() }];
  });
}
