// Room wire: a set or map as it stands in a batch.
import type { NfnetlinkWriter } from '../nfnetlink/writer.ts';
import { hasConcatenatedIntervals } from './concatenation.ts';
import { concatenatedId, DATATYPES, keyLength, type NftValueType } from './datatype.ts';
import { EXPR } from './expression.ts';
import type { NftSet } from './items.ts';
import { DESCRIPTION, SET, SET_FLAG, VERDICT_TYPE } from './message.ts';
import { setUserdata } from './userdata.ts';

/** `id` tells the set from others that are new in the same batch. */
export function writeSet(w: NfnetlinkWriter, set: NftSet, id: number): void {
  const key = set.key as readonly NftValueType[];
  w.string(SET.TABLE, set.table);
  w.string(SET.NAME, set.set);
  w.u32(SET.FLAGS, flagsOf(set));
  w.u32(SET.KEY_TYPE, concatenatedId(key));
  w.u32(SET.KEY_LEN, keyLength(key));
  if (set.data?.[0] === 'verdict') {
    w.u32(SET.DATA_TYPE, VERDICT_TYPE);
    w.u32(SET.DATA_LEN, 0);
  } else if (set.data) {
    const data = set.data as readonly NftValueType[];
    w.u32(SET.DATA_TYPE, concatenatedId(data));
    w.u32(SET.DATA_LEN, keyLength(data));
  }
  w.u32(SET.ID, id);
  if (set.size !== undefined || hasConcatenatedIntervals(set)) writeDescription(w, set);
  w.raw(SET.USERDATA, setUserdata(set));
  if (set.counter) writeCounter(w);
}

function writeCounter(w: NfnetlinkWriter): void {
  const counter = w.open(SET.EXPRESSION);
  w.string(EXPR.NAME, 'counter');
  w.close(w.open(EXPR.DATA));
  w.close(counter);
}

function flagsOf(set: NftSet): number {
  const flags = (set.flags ?? []).reduce((bits, flag) => bits | SET_FLAG[flag], 0);
  const concatenation = hasConcatenatedIntervals(set) ? SET_FLAG.concatenation : 0;
  return flags | concatenation | (set.data ? SET_FLAG.map : 0) | (set.counter ? SET_FLAG.expression : 0);
}

function writeDescription(w: NfnetlinkWriter, set: NftSet): void {
  const description = w.open(SET.DESCRIPTION);
  if (set.size !== undefined) w.u32(DESCRIPTION.SIZE, set.size);
  if (hasConcatenatedIntervals(set)) writeFields(w, set.key as readonly NftValueType[]);
  w.close(description);
}

/** Where in a key each part ends: the kernel looks parts up one by one. */
function writeFields(w: NfnetlinkWriter, types: readonly NftValueType[]): void {
  const concatenation = w.open(DESCRIPTION.CONCATENATION);
  for (const type of types) {
    const field = w.open(DESCRIPTION.FIELD);
    w.u32(DESCRIPTION.FIELD_LENGTH, DATATYPES[type].length);
    w.close(field);
  }
  w.close(concatenation);
}
