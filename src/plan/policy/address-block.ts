// Room plan: addresses that a policy names: prefixes, and what is left of them without their exceptions.
import { type Family, type IP, ipToBigInt } from '../../addr/ip.ts';
import { networkOf, parsePrefix, prefixSize } from '../../addr/prefix.ts';

/** `ranges` are the block's addresses without those of its exceptions: rising, apart from each other, both ends inside. */
export interface BlockPeer {
  readonly kind: 'block';
  readonly key: string;
  readonly family: Family;
  readonly ranges: readonly AddressRange[];
}

export interface AddressRange {
  readonly first: bigint;
  readonly last: bigint;
}

export function blockPeer(cidr: string, except: readonly string[] = []): BlockPeer {
  const { family } = parsePrefix(cidr);
  const holes = [...new Set(except.map((each) => networkOf(each)))].sort();
  const key = `block ${networkOf(cidr)}${holes.length > 0 ? ` except ${holes.join(',')}` : ''}`;
  return { kind: 'block', key, family, ranges: without(prefixRange(cidr), holes.map(prefixRange)) };
}

function prefixRange(cidr: string): AddressRange {
  const first = ipToBigInt(parsePrefix(networkOf(cidr)).ip);
  return { first, last: first + prefixSize(cidr) - 1n };
}

function without(whole: AddressRange, holes: readonly AddressRange[]): AddressRange[] {
  const rest: AddressRange[] = [];
  let next = whole.first;
  for (const hole of holes.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    if (hole.first > next) rest.push({ first: next, last: hole.first - 1n });
    if (hole.last + 1n > next) next = hole.last + 1n;
  }
  if (next <= whole.last) rest.push({ first: next, last: whole.last });
  return rest;
}

export function inBlock(block: BlockPeer, ip: IP): boolean {
  return blocksWith([block], ip).length > 0;
}

/** Of these, those that hold the address. */
export function blocksWith(blocks: Iterable<BlockPeer>, ip: IP): BlockPeer[] {
  const family = ip.includes(':') ? 6 : 4;
  const number = ipToBigInt(ip);
  return [...blocks].filter(
    (block) => block.family === family && block.ranges.some(({ first, last }) => first <= number && number <= last),
  );
}
