// Room dns: ready-made answers to questions that came before, byte for byte: what most questions over UDP meet, undecoded.
import { DATAGRAM_ROOM } from '../sys/datagrams.ts';
import { ttlOffsets } from '../wire/dns/ttl.ts';
import type { Counter, Tally } from './stats.ts';

const HEADER = 12;
/** Bytes of type and class after the name, and of an OPT record without options. */
const TYPE_CLASS = 4;
const PLAIN_OPT = 11;
const MAX_LABEL = 63;
const FOR_EVER = { until: Number.POSITIVE_INFINITY, ages: Number.POSITIVE_INFINITY, hits: { count: 0 } };

/**
 * How long an answer stays true: until what it was made of changes, or until a moment; then its TTLs are a second less from
 * `ages` on, and from every second after it. Milliseconds of performance.now(). `hits` counts how often it was given again.
 */
export type Validity =
  | { readonly dependsOn: string }
  | { readonly until: number; readonly ages: number; readonly hits: Counter };

interface Entry {
  /** The question from its flags on, in lower case. */
  readonly key: Uint8Array;
  readonly hash: number;
  /** The same records in turn, so that no address is always the first. */
  readonly answers: readonly Uint8Array[];
  turn: number;
  readonly until: number;
  /** When the TTLs are to be less. */
  ages: number;
  readonly dependsOn: string | undefined;
  readonly tally: Tally;
  readonly hits: Counter;
  /** The next of the same hash. */
  next: Entry | undefined;
}

/**
 * Questions are told apart by their bytes without the id, whatever the case of letters; a question that is found gets the
 * answer with its own id and its own spelling. Only plain questions are kept: one question, and of EDNS no option.
 */
export class PacketCache {
  readonly #byHash = new Map<number, Entry>();
  readonly #dependents = new Map<string, Set<Entry>>();
  /** In the order in which they came: the oldest makes room. */
  readonly #ring: (Entry | undefined)[];
  #position = 0;
  #now = 0;
  #hash = 0;
  #nameEnd = 0;

  constructor(size: number) {
    this.#ring = new Array<Entry | undefined>(size).fill(undefined);
  }

  /** Milliseconds of performance.now(), as of when later lookups are. */
  set now(value: number) {
    this.#now = value;
  }

  /**
   * Writes the answer to the question between `start` and `end` of `memory` at `answer`, and returns its length; 0 when there
   * is none. `family` is counted.
   */
  answer(memory: Uint8Array, start: number, end: number, answer: number, family: 'v4' | 'v6'): number {
    const entry = this.#scan(memory, start, end) ? this.#find(memory, start, end) : undefined;
    if (!entry || entry.until <= this.#now) return 0;
    if (entry.ages <= this.#now) age(entry, this.#now);
    const bytes = entry.answers[entry.turn]!;
    entry.turn = entry.turn + 1 === entry.answers.length ? 0 : entry.turn + 1;
    memory.set(bytes, answer);
    memory[answer] = memory[start]!;
    memory[answer + 1] = memory[start + 1]!;
    for (let at = start + HEADER, to = answer + HEADER; at < this.#nameEnd; at++, to++) memory[to] = memory[at]!;
    entry.tally[family]++;
    entry.hits.count++;
    return bytes.length;
  }

  /** Keeps answers to a question, unless it is one that is not kept or they are too large. */
  put(question: Uint8Array, answers: readonly Uint8Array[], validity: Validity, tally: Tally): void {
    if (!this.#scan(question, 0, question.length) || answers.some((bytes) => bytes.length > DATAGRAM_ROOM)) return;
    const before = this.#find(question, 0, question.length);
    if (before) this.#remove(before);
    const hash = this.#hash;
    const key = folded(question, this.#nameEnd);
    const { until, ages, hits } = 'until' in validity ? validity : FOR_EVER;
    const dependsOn = 'dependsOn' in validity ? validity.dependsOn : undefined;
    const entry: Entry = { key, hash, answers, turn: 0, until, ages, dependsOn, tally, hits, next: undefined };
    const oldest = this.#ring[this.#position];
    if (oldest) this.#remove(oldest);
    this.#ring[this.#position] = entry;
    this.#position = (this.#position + 1) % this.#ring.length;
    // The oldest may have been of the same hash.
    entry.next = this.#byHash.get(hash);
    this.#byHash.set(hash, entry);
    if (dependsOn === undefined) return;
    const dependents = this.#dependents.get(dependsOn);
    if (dependents) dependents.add(entry);
    else this.#dependents.set(dependsOn, new Set([entry]));
  }

  /** Forgets every answer that depends on it. */
  drop(dependency: string): void {
    for (const entry of this.#dependents.get(dependency) ?? []) this.#remove(entry);
  }

  /** Whether it is a plain question; leaves its hash and the end of its name behind. */
  #scan(memory: Uint8Array, start: number, end: number): boolean {
    // A query (QR and opcode zero) with one question, no answers, no authorities, at most one further record.
    if (end - start < HEADER + 1 + TYPE_CLASS || memory[start + 2]! & 0xf8) return false;
    if (memory[start + 4] !== 0 || memory[start + 5] !== 1 || memory[start + 10] !== 0) return false;
    if (memory[start + 6]! | memory[start + 7]! | memory[start + 8]! | memory[start + 9]!) return false;
    let hash = (memory[start + 2]! << 8) | memory[start + 3]!;
    let at = start + HEADER;
    for (let length = memory[at]!; length !== 0; length = memory[at]!) {
      if (length > MAX_LABEL || at + length + 1 >= end) return false;
      for (const next = at + length + 1; at < next; at++) hash = mix(hash, lower(memory[at]!));
    }
    this.#nameEnd = ++at;
    if (at + TYPE_CLASS > end) return false;
    const records = memory[start + 11]!;
    if (records === 0 ? at + TYPE_CLASS !== end : !isPlainOpt(memory, at + TYPE_CLASS, end, records)) return false;
    for (; at < end; at++) hash = mix(hash, memory[at]!);
    this.#hash = hash;
    return true;
  }

  #find(memory: Uint8Array, start: number, end: number): Entry | undefined {
    for (let entry = this.#byHash.get(this.#hash); entry; entry = entry.next) {
      if (this.#matches(entry.key, memory, start + 2, end)) return entry;
    }
    return undefined;
  }

  #matches(key: Uint8Array, memory: Uint8Array, start: number, end: number): boolean {
    if (key.length !== end - start) return false;
    const nameEnd = this.#nameEnd - start;
    let i = 0;
    for (; i < nameEnd; i++) if (key[i] !== lower(memory[start + i]!)) return false;
    for (; i < key.length; i++) if (key[i] !== memory[start + i]) return false;
    return true;
  }

  #remove(entry: Entry): void {
    const first = this.#byHash.get(entry.hash);
    if (first === entry) {
      if (entry.next) this.#byHash.set(entry.hash, entry.next);
      else this.#byHash.delete(entry.hash);
    } else {
      let before = first;
      while (before && before.next !== entry) before = before.next;
      if (before) before.next = entry.next;
    }
    if (entry.dependsOn === undefined) return;
    const dependents = this.#dependents.get(entry.dependsOn);
    if (dependents?.delete(entry) && dependents.size === 0) this.#dependents.delete(entry.dependsOn);
  }
}

/** Takes the seconds that have gone by off every TTL. */
function age(entry: Entry, now: number): void {
  const seconds = Math.floor((now - entry.ages) / 1000) + 1;
  entry.ages += seconds * 1000;
  for (const bytes of entry.answers) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (const at of ttlOffsets(bytes)) view.setUint32(at, Math.max(0, view.getUint32(at) - seconds));
  }
}

/** Length bytes of labels are below the letters, so that a whole name may be folded at once. */
function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

/** FNV-1a, kept within what V8 holds as a small integer. */
function mix(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193) & 0x3fffffff;
}

function isPlainOpt(memory: Uint8Array, at: number, end: number, records: number): boolean {
  if (records !== 1 || at + PLAIN_OPT !== end) return false;
  const isOpt = memory[at] === 0 && memory[at + 1] === 0 && memory[at + 2] === 41;
  return isOpt && memory[at + 9] === 0 && memory[at + 10] === 0;
}

function folded(question: Uint8Array, nameEnd: number): Uint8Array {
  // Not slice(): of a Buffer that is no copy.
  const key = new Uint8Array(question.subarray(2));
  for (let i = 0; i < nameEnd - 2; i++) key[i] = lower(key[i]!);
  return key;
}
