// Room wire: intervals of concatenations as nf_tables keeps them (pipapo): each element has its first and its last key.
import { DATATYPES, type NftValueType, readValue, slotLength, slotsOf, writeValue } from './datatype.ts';
import { boundOf, formatInterval, intervalBytes, isOrdered, parseInterval } from './interval.ts';
import type { NftSet, NftValue } from './items.ts';

export function hasConcatenatedIntervals(set: NftSet): boolean {
  return set.flags?.includes('interval') === true && set.key.length > 1;
}

/** Writes the first or the last of the keys; what the machine has in its own order stands in network order here. */
export function writeConcatenatedBound(
  bytes: Uint8Array,
  at: number,
  types: readonly NftValueType[],
  key: readonly NftValue[],
  which: 'first' | 'last',
): void {
  let offset = at;
  for (const [i, type] of types.entries()) {
    const { length } = DATATYPES[type];
    const slot = bytes.subarray(offset, offset + length);
    if (isOrdered(type)) {
      const { start, end } = parseInterval(key[i]!, type);
      const last = (end ?? 1n << BigInt(8 * length)) - 1n;
      slot.set(intervalBytes(which === 'first' ? start : last, type));
    } else {
      writeValue(slot, new DataView(slot.buffer, slot.byteOffset, length), 0, type, key[i]!);
      if (DATATYPES[type].order === 'host') slot.reverse();
    }
    offset += slotLength(type);
  }
}

/** `last` is absent where the kernel tells no end: an element without ranges. */
export function readConcatenatedKey(
  first: Uint8Array,
  last: Uint8Array | undefined,
  types: readonly NftValueType[],
): NftValue[] {
  const ends = slotsOf(last ?? first, types);
  return slotsOf(first, types).map((slot, i) => {
    const type = types[i]!;
    if (isOrdered(type)) {
      const end = boundOf(ends[i]!, type) + 1n;
      const start = boundOf(slot, type);
      return formatInterval(end >= 1n << BigInt(8 * DATATYPES[type].length) ? { start } : { start, end }, type);
    }
    return readValue(DATATYPES[type].order === 'host' ? slot.slice().reverse() : slot, type);
  });
}
