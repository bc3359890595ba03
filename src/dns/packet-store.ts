// Room dns: questions with their answers side by side in one memory: an answer that is found costs few lines of the CPU's cache.
import type { PacketMemory } from '../sys/datagrams.ts';
import { giveId, hashOf, isSame, wordMemory, wordsFor } from './packet-words.ts';

/**
 * Words of a record: when it is to be looked at again and when it is over, of two words each; then what follows; then the question,
 * then its answers, each behind its length and the place of the one that is given next.
 */
const DUE = 0;
const UNTIL = 2;
const HASH = 4;
const NEXT = 5;
const LENGTH = 6;
const TURN = 7;
const KIND = 8;
const SIZE = 9;
const KEY = 10;
const ANSWER = 2;
/** A record begins with a line of the CPU's cache. */
const LINE = 16;
/** Of what is no record any more. */
const GONE = -1;

/** Records are known by the word at which they stand, never 0. The oldest make room for the newest. */
export class PacketStore {
  readonly #memory: PacketMemory;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  /** By hash: the first record, which names the next. */
  readonly #places: Int32Array;
  readonly #onGone: (record: number) => void;
  /** Where the newest record ends. */
  #end = LINE;
  /** Since the memory was last begun anew: what is left of the records before, from the oldest to where they ended. */
  #oldest = LINE;
  #top = LINE;

  /** `onGone` is told of a record that makes room. */
  constructor(bytes: number, onGone: (record: number) => void) {
    this.#memory = wordMemory(bytes);
    this.#words = this.#memory.words;
    this.#times = new Float64Array(this.#words.buffer, 0, this.#words.length >> 1);
    this.#places = new Int32Array(2 ** Math.ceil(Math.log2(1 + this.#words.length / (8 * LINE))));
    this.#onGone = onGone;
  }

  /** The record of the question at word `at`; 0 when there is none. */
  find(words: Int32Array, at: number, length: number): number {
    const kept = this.#words;
    const hash = hashOf(words, at, length);
    for (let record = this.#places[hash & (this.#places.length - 1)]!; record !== 0; record = kept[record + NEXT]!) {
      if (kept[record + HASH] !== hash || kept[record + LENGTH] !== length) continue;
      if (isSame(kept, record + KEY, words, at, length)) return record;
    }
    return 0;
  }

  /** Writes the answer whose turn it is at word `to`, under the id of the question at word `at`; returns its length. */
  give(record: number, words: Int32Array, at: number, to: number): number {
    const kept = this.#words;
    const turn = kept[record + TURN]!;
    const length = kept[turn]!;
    kept[record + TURN] = kept[turn + 1]!;
    const from = turn + ANSWER;
    const count = wordsFor(length);
    for (let i = 0; i < count; i++) words[to + i] = kept[from + i]!;
    giveId(words, at, to);
    return length;
  }

  due(record: number): number {
    return this.#times[(record + DUE) >> 1]!;
  }

  until(record: number): number {
    return this.#times[(record + UNTIL) >> 1]!;
  }

  /** Whatever the owner has said. */
  kind(record: number): number {
    return this.#words[record + KIND]!;
  }

  setTimes(record: number, due: number, until: number): void {
    this.#times[(record + DUE) >> 1] = due;
    this.#times[(record + UNTIL) >> 1] = until;
  }

  /** To be changed in place. */
  answers(record: number): Uint8Array[] {
    const found: Uint8Array[] = [];
    const first = this.#words[record + TURN]!;
    let turn = first;
    do {
      const start = (turn + ANSWER) * 4;
      found.push(this.#memory.bytes.subarray(start, start + this.#words[turn]!));
      turn = this.#words[turn + 1]!;
    } while (turn !== first);
    return found;
  }

  /** `key` is the question without its id, and nothing has been kept for it. 0 when there is no room for so much. */
  add(key: Uint8Array, answers: readonly Uint8Array[], kind: number): number {
    const keyWords = wordsFor(key.length);
    const answerWords = answers.reduce((sum, { length }) => sum + ANSWER + wordsFor(length), 0);
    const size = Math.ceil((KEY + keyWords + answerWords) / LINE) * LINE;
    const record = this.#makeRoom(size);
    if (record === 0) return 0;
    const words = this.#words.fill(0, record, record + size);
    this.#memory.bytes.set(key, (record + KEY) * 4);
    const first = record + KEY + keyWords;
    let turn = first;
    for (const [i, answer] of answers.entries()) {
      const next = turn + ANSWER + wordsFor(answer.length);
      words[turn] = answer.length;
      words[turn + 1] = i === answers.length - 1 ? first : next;
      this.#memory.bytes.set(answer, (turn + ANSWER) * 4);
      turn = next;
    }
    const hash = hashOf(words, record + KEY, key.length);
    const place = hash & (this.#places.length - 1);
    words[record + HASH] = hash;
    words[record + NEXT] = this.#places[place]!;
    words[record + LENGTH] = key.length;
    words[record + TURN] = first;
    words[record + KIND] = kind;
    words[record + SIZE] = size;
    this.#places[place] = record;
    return record;
  }

  /** Its memory is free when its turn comes. */
  remove(record: number): void {
    const words = this.#words;
    const place = words[record + HASH]! & (this.#places.length - 1);
    const next = words[record + NEXT]!;
    let before = this.#places[place]!;
    if (before === record) this.#places[place] = next;
    else {
      while (words[before + NEXT] !== record) before = words[before + NEXT]!;
      words[before + NEXT] = next;
    }
    words[record + LENGTH] = GONE;
  }

  /** Where `size` words are free: over the oldest records, which stand in the order in which they came. */
  #makeRoom(size: number): number {
    if (LINE + size > this.#words.length) return 0;
    if (this.#end + size > this.#words.length) {
      while (this.#oldest < this.#top) this.#dropOldest();
      this.#top = this.#end;
      this.#oldest = LINE;
      this.#end = LINE;
    }
    while (this.#oldest < this.#top && this.#oldest < this.#end + size) this.#dropOldest();
    const record = this.#end;
    this.#end += size;
    return record;
  }

  #dropOldest(): void {
    const record = this.#oldest;
    this.#oldest += this.#words[record + SIZE]!;
    if (this.#words[record + LENGTH] === GONE) return;
    this.remove(record);
    this.#onGone(record);
  }
}
