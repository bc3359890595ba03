// Room dns: packets as words of four bytes: what is done to every question that comes is done to four of its bytes at a time.
import type { PacketMemory } from '../sys/datagrams.ts';

/** Names begin where the header ends, in questions and in their answers. */
export const NAME = 12;
/** Bytes of type and class after the name, and of an OPT record without options. */
const TYPE_CLASS = 4;
const PLAIN_OPT = 11;
const MAX_LABEL = 63;
/** All of a packet's first word but its id: where words are read at all, the first byte is the lowest. */
const NO_ID = ~0xffff;

export function wordMemory(bytes: number): PacketMemory {
  const words = new Int32Array(wordsFor(bytes));
  return { bytes: new Uint8Array(words.buffer), words };
}

export function wordsFor(bytes: number): number {
  return (bytes + 3) >> 2;
}

/** Of the `length` bytes from word `at` on, but for the id. */
export function hashOf(words: Int32Array, at: number, length: number): number {
  const end = at + (length >> 2);
  let hash = mix(words[at]! & NO_ID);
  for (let i = at + 1; i < end; i++) hash = mix(hash ^ words[i]!);
  return length & 3 ? mix(hash ^ (words[end]! & lastBytes(length))) : hash;
}

/** Whether the question at word `at` is that at word `key` of `kept`, where an id and the rest of the last word are zeros. */
export function isSame(kept: Int32Array, key: number, words: Int32Array, at: number, length: number): boolean {
  const whole = length >> 2;
  if (kept[key] !== (words[at]! & NO_ID)) return false;
  for (let i = 1; i < whole; i++) if (kept[key + i] !== words[at + i]) return false;
  return (length & 3) === 0 || kept[key + whole] === (words[at + whole]! & lastBytes(length));
}

/** Writes the id of the question at word `at` into the answer at word `to`. */
export function giveId(words: Int32Array, at: number, to: number): void {
  words[to] = (words[to]! & NO_ID) | (words[at]! & ~NO_ID);
}

/** Where the name of a plain question ends: of a query with one question and, of EDNS, no option. 0 for any other packet. */
export function plainNameEnd(bytes: Uint8Array, start: number, end: number): number {
  // QR and opcode zero; one question, no answers, no authorities, at most one further record.
  if (end - start < NAME + 1 + TYPE_CLASS || bytes[start + 2]! & 0xf8) return 0;
  if (bytes[start + 4] !== 0 || bytes[start + 5] !== 1 || bytes[start + 10] !== 0) return 0;
  if (bytes[start + 6]! | bytes[start + 7]! | bytes[start + 8]! | bytes[start + 9]!) return 0;
  let at = start + NAME;
  for (let length = bytes[at]!; length !== 0; length = bytes[at]!) {
    if (length > MAX_LABEL || at + length + 1 >= end) return 0;
    at += length + 1;
  }
  const after = at + 1 + TYPE_CLASS;
  if (after > end) return 0;
  const records = bytes[start + 11]!;
  return (records === 0 ? after === end : isPlainOpt(bytes, after, end, records)) ? at + 1 : 0;
}

/** Makes a name lower case, and tells whether it was not. Length bytes of labels are below the letters. */
export function fold(bytes: Uint8Array, start: number, end: number): boolean {
  let folded = false;
  for (let at = start; at < end; at++) {
    if (bytes[at]! < 0x41 || bytes[at]! > 0x5a) continue;
    bytes[at]! |= 0x20;
    folded = true;
  }
  return folded;
}

function mix(value: number): number {
  const product = Math.imul(value, 0x9e3779b1);
  return product ^ (product >>> 15);
}

/** The bytes of the last word that belong to a packet whose length is no multiple of four. */
function lastBytes(length: number): number {
  return (1 << ((length & 3) * 8)) - 1;
}

function isPlainOpt(bytes: Uint8Array, at: number, end: number, records: number): boolean {
  if (records !== 1 || at + PLAIN_OPT !== end) return false;
  const isOpt = bytes[at] === 0 && bytes[at + 1] === 0 && bytes[at + 2] === 41;
  return isOpt && bytes[at + 9] === 0 && bytes[at + 10] === 0;
}
