// Room wire: single nf_tables expressions: selectors into registers, comparisons, lookups, data.
import type { NfnetlinkWriter } from '../nfnetlink/writer.ts';
import { DATATYPES, slotLength } from './datatype.ts';
import {
  BITWISE,
  BYTEORDER,
  BYTEORDER_HTON,
  CMP,
  CT,
  DATA,
  EXPR,
  FIB,
  HASH,
  IMMEDIATE,
  LOOKUP,
  LOOKUP_INVERTED,
  META,
  NUMGEN,
  NUMGEN_RANDOM,
  PAYLOAD,
  register,
  VERDICT,
  VERDICT_CODE,
} from './expression.ts';
import type { NftKeyPart, NftSelector, NftVerdict } from './rule.ts';
import { PAYLOAD_BASE, SELECTORS } from './selector.ts';

const LIST_ELEM = 1;
/** Where a hash's input is put: beyond every key's words. */
const SCRATCH_WORD = 8;

export function expression(w: NfnetlinkWriter, name: string, data?: () => void): void {
  const element = w.open(LIST_ELEM);
  w.string(EXPR.NAME, name);
  if (data) {
    const nested = w.open(EXPR.DATA);
    data();
    w.close(nested);
  }
  w.close(element);
}

export type Fill = (bytes: Uint8Array, view: DataView, at: number) => void;

/** A nested NFTA_DATA_VALUE of so many bytes. */
export function writeData(w: NfnetlinkWriter, type: number, length: number, fill: Fill): void {
  const nested = w.open(type);
  const at = w.reserve(DATA.VALUE, length);
  fill(w.buffer.bytes, w.buffer.view, at);
  w.close(nested);
}

/** A nested NFTA_DATA_VERDICT. */
export function writeVerdict(w: NfnetlinkWriter, verdict: NftVerdict): void {
  const nested = w.open(DATA.VERDICT);
  w.u32(VERDICT.CODE, VERDICT_CODE[verdict.verdict]);
  if ('chain' in verdict) w.string(VERDICT.CHAIN, verdict.chain);
  w.close(nested);
}

export function immediate(w: NfnetlinkWriter, word: number, length: number, fill: Fill): void {
  expression(w, 'immediate', () => {
    w.u32(IMMEDIATE.DREG, register(word));
    writeData(w, IMMEDIATE.DATA, length, fill);
  });
}

export function load(w: NfnetlinkWriter, selector: NftSelector, word: number, length?: number): void {
  const { type, load: how } = SELECTORS[selector];
  const dreg = register(word);
  expression(w, how.expr, () => {
    if (how.expr === 'payload') {
      w.u32(PAYLOAD.DREG, dreg);
      w.u32(PAYLOAD.BASE, PAYLOAD_BASE[how.base]);
      w.u32(PAYLOAD.OFFSET, how.offset);
      w.u32(PAYLOAD.LEN, length ?? DATATYPES[type].length);
    } else if (how.expr === 'fib') {
      w.u32(FIB.DREG, dreg);
      w.u32(FIB.RESULT, how.result);
      w.u32(FIB.FLAGS, how.flags);
    } else {
      w.u32(how.expr === 'meta' ? META.KEY : CT.KEY, how.key);
      w.u32(how.expr === 'meta' ? META.DREG : CT.DREG, dreg);
      if (how.expr === 'ct' && how.direction !== undefined) w.u8(CT.DIRECTION, how.direction);
    }
  });
}

/** Loads the parts one after the other from the first word on, and returns the word after them; `ordered`: all of them in network order. */
export function loadKey(w: NfnetlinkWriter, parts: readonly NftKeyPart[], ordered?: boolean): number {
  let word = 0;
  for (const part of parts) {
    if (typeof part === 'string') {
      load(w, part, word);
      if (ordered && DATATYPES[SELECTORS[part].type].order === 'host') turn(w, register(word));
      word += slotLength(SELECTORS[part].type) / 4;
      continue;
    }
    const dreg = register(word++);
    if (part.compute === 'random') {
      expression(w, 'numgen', () => {
        w.u32(NUMGEN.DREG, dreg);
        w.u32(NUMGEN.MODULUS, part.mod);
        w.u32(NUMGEN.TYPE, NUMGEN_RANDOM);
        w.u32(NUMGEN.OFFSET, part.offset ?? 0);
      });
    } else loadHash(w, part.of, part.mod, dreg);
  }
  return word;
}

/** Host order to network order, of one word. */
function turn(w: NfnetlinkWriter, word: number): void {
  expression(w, 'byteorder', () => {
    w.u32(BYTEORDER.SREG, word);
    w.u32(BYTEORDER.DREG, word);
    w.u32(BYTEORDER.OP, BYTEORDER_HTON);
    w.u32(BYTEORDER.LEN, 4);
    w.u32(BYTEORDER.SIZE, 4);
  });
}

function loadHash(w: NfnetlinkWriter, of: readonly NftSelector[], mod: number, dreg: number): void {
  let word = SCRATCH_WORD;
  for (const selector of of) {
    load(w, selector, word);
    word += slotLength(SELECTORS[selector].type) / 4;
  }
  const length = of.length === 1 ? DATATYPES[SELECTORS[of[0]!].type].length : 4 * (word - SCRATCH_WORD);
  expression(w, 'hash', () => {
    w.u32(HASH.SREG, register(SCRATCH_WORD));
    w.u32(HASH.DREG, dreg);
    w.u32(HASH.LEN, length);
    w.u32(HASH.MODULUS, mod);
    w.u32(HASH.SEED, 0);
    w.u32(HASH.OFFSET, 0);
    w.u32(HASH.TYPE, 0);
  });
}

export function lookup(w: NfnetlinkWriter, set: string, { dreg, not }: { dreg?: number; not?: boolean }): void {
  expression(w, 'lookup', () => {
    w.string(LOOKUP.SET, set);
    w.u32(LOOKUP.SREG, register(0));
    if (dreg !== undefined) w.u32(LOOKUP.DREG, dreg);
    if (not) w.u32(LOOKUP.FLAGS, LOOKUP_INVERTED);
  });
}

export function bitwise(w: NfnetlinkWriter, length: number, mask: Fill): void {
  expression(w, 'bitwise', () => {
    w.u32(BITWISE.SREG, register(0));
    w.u32(BITWISE.DREG, register(0));
    w.u32(BITWISE.LEN, length);
    writeData(w, BITWISE.MASK, length, mask);
    writeData(w, BITWISE.XOR, length, () => {});
  });
}

export function compare(w: NfnetlinkWriter, op: number, length: number, value: Fill): void {
  expression(w, 'cmp', () => {
    w.u32(CMP.SREG, register(0));
    w.u32(CMP.OP, op);
    writeData(w, CMP.DATA, length, value);
  });
}
