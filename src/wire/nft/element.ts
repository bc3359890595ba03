// Room wire: an element of a set or map as it stands in a batch.
import type { NfnetlinkWriter } from '../nfnetlink/writer.ts';
import { hasConcatenatedIntervals, writeConcatenatedBound } from './concatenation.ts';
import { keyLength, type NftValueType, slotLength, writeValue } from './datatype.ts';
import { DATA } from './expression.ts';
import { hasIntervals, intervalBytes, parseInterval } from './interval.ts';
import type { NftElement, NftSet } from './items.ts';
import { writeData, writeVerdict } from './load.ts';
import { ELEMENT, INTERVAL_END, USERDATA } from './message.ts';

export function writeElement(w: NfnetlinkWriter, element: NftElement, set: NftSet, keyOnly: boolean): void {
  const interval = hasIntervals(set) ? parseInterval(element.key[0]!, set.key[0] as NftValueType) : undefined;
  const nested = w.open(ELEMENT.LIST_ELEM);
  if (interval) writeBound(w, interval.start, set);
  else if (hasConcatenatedIntervals(set)) writeBounds(w, element, set);
  else writeParts(w, ELEMENT.KEY, set.key as readonly NftValueType[], element.key);
  if (!keyOnly && element.data) {
    if ('verdict' in element.data) {
      const data = w.open(ELEMENT.DATA);
      writeVerdict(w, element.data);
      w.close(data);
    } else writeParts(w, ELEMENT.DATA, set.data as readonly NftValueType[], element.data);
  }
  if (!keyOnly && element.comment !== undefined) w.userdataText(ELEMENT.USERDATA, USERDATA.COMMENT, element.comment);
  w.close(nested);
  if (interval?.end === undefined) return;
  const end = w.open(ELEMENT.LIST_ELEM);
  writeBound(w, interval.end, set);
  w.u32(ELEMENT.FLAGS, INTERVAL_END);
  w.close(end);
}

function writeBound(w: NfnetlinkWriter, bound: bigint, set: NftSet): void {
  const value = intervalBytes(bound, set.key[0] as NftValueType);
  writeData(w, ELEMENT.KEY, value.length, (bytes, _view, at) => bytes.set(value, at));
}

function writeBounds(w: NfnetlinkWriter, { key }: NftElement, set: NftSet): void {
  const types = set.key as readonly NftValueType[];
  for (const [attribute, which] of [
    [ELEMENT.KEY, 'first'],
    [ELEMENT.KEY_END, 'last'],
  ] as const) {
    writeData(w, attribute, keyLength(types), (bytes, _view, at) =>
      writeConcatenatedBound(bytes, at, types, key, which),
    );
  }
}

function writeParts(
  w: NfnetlinkWriter,
  attribute: number,
  types: readonly NftValueType[],
  values: readonly (string | number)[],
): void {
  // Not by writeData(): a closure for each of 200,000.
  const nested = w.open(attribute);
  let at = w.reserve(DATA.VALUE, keyLength(types));
  const { bytes, view } = w.buffer;
  for (let i = 0; i < types.length; i++) {
    writeValue(bytes, view, at, types[i]!, values[i]!);
    at += slotLength(types[i]!);
  }
  w.close(nested);
}
