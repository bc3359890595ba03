// Room wire: the question whether a set holds an element, and in what form.
import { NfnetlinkWriter } from '../nfnetlink/writer.ts';
import { writeElement } from './element.ts';
import { NFPROTO } from './expression.ts';
import type { NftElement, NftSet } from './items.ts';
import { ELEMENT_LIST } from './message.ts';

/** The body of a GETSETELEM that is no dump: answered with the element, or refused with ENOENT. Not for sets of intervals. */
export function lookUpBody(element: NftElement, set: NftSet): Uint8Array {
  const w = new NfnetlinkWriter(0, 256);
  w.begin(0, 0, NFPROTO[element.family]);
  w.string(ELEMENT_LIST.TABLE, element.table);
  w.string(ELEMENT_LIST.SET, element.set);
  const list = w.open(ELEMENT_LIST.ELEMENTS);
  writeElement(w, element, set, true);
  w.close(list);
  return w.bytes.slice(16);
}
