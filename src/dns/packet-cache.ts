// Room dns: ready-made answers to questions that came before, byte for byte: what most questions over UDP meet, undecoded.
import { DATAGRAM_ROOM, type PacketMemory } from '../sys/datagrams.ts';
import { ttlOffsets } from '../wire/dns/ttl.ts';
import { PacketStore } from './packet-store.ts';
import { fold, NAME, plainNameEnd, wordMemory } from './packet-words.ts';
import type { Counter, DnsFamily, Tally } from './stats.ts';

const FOR_EVER = { until: Number.POSITIVE_INFINITY, ages: Number.POSITIVE_INFINITY, hits: { count: 0 } };

/**
 * How long an answer stays true: until what it was made of changes, or until a moment; then its TTLs are a second less from
 * `ages` on, and from every second after it. Milliseconds of performance.now(). `hits` counts how often it was given again.
 */
export type Validity =
  | { readonly dependsOn: string }
  | { readonly until: number; readonly ages: number; readonly hits: Counter };

/** Where answers of one kind are counted. */
interface Counted {
  readonly tally: Tally;
  readonly hits: Counter;
}

/**
 * Questions are told apart by their bytes without the id, whatever the case of letters; a question that is found gets the
 * answer with its own id and its own spelling. Only plain questions are kept: one question, and of EDNS no option.
 */
export class PacketCache {
  readonly #store: PacketStore;
  /** The records that depend on something, and on what each does. */
  readonly #dependents = new Map<string, Set<number>>();
  readonly #dependencies = new Map<number, string>();
  /** A record names its kind: there are few. */
  readonly #kinds: Counted[] = [];
  readonly #folded = wordMemory(DATAGRAM_ROOM);
  #now = 0;

  /** Of memory for questions and answers. */
  constructor(bytes: number) {
    this.#store = new PacketStore(bytes, (record) => this.#forget(record));
  }

  /** Milliseconds of performance.now(), as of when later lookups are. */
  set now(value: number) {
    this.#now = value;
  }

  /**
   * Writes the answer to the question between `start` and `end` of the memory at `answer`, and returns its length; 0 when there
   * is none. `start` and `answer` are multiples of four. `family` is counted.
   */
  answer(memory: PacketMemory, start: number, end: number, answer: number, family: DnsFamily): number {
    const store = this.#store;
    // As nearly everybody spells it. What equals what was kept needs no other look.
    let record = store.find(memory.words, start >> 2, end - start);
    let nameEnd = 0;
    if (record === 0) {
      nameEnd = plainNameEnd(memory.bytes, start, end);
      if (nameEnd > 0) record = this.#findFolded(memory.bytes, start, end, nameEnd);
      if (record === 0) return 0;
    }
    if (store.due(record) <= this.#now && !this.#isStillTrue(record)) return 0;
    const length = store.give(record, memory.words, start >> 2, answer >> 2);
    if (nameEnd > 0) memory.bytes.copyWithin(answer + NAME, start + NAME, nameEnd);
    const { tally, hits } = this.#kinds[store.kind(record)]!;
    if (family === 'v4') tally.v4++;
    else tally.v6++;
    hits.count++;
    return length;
  }

  /** Keeps answers to a question, unless it is one that is not kept or they are too large. They are not the caller's any more. */
  put(question: Uint8Array, answers: readonly Uint8Array[], validity: Validity, tally: Tally): void {
    if ([question, ...answers].some(({ length }) => length > DATAGRAM_ROOM)) return;
    const nameEnd = plainNameEnd(question, 0, question.length);
    if (nameEnd === 0) return;
    const store = this.#store;
    const { bytes, words } = this.#folded;
    bytes.set(question);
    fold(bytes, NAME, nameEnd);
    const before = store.find(words, 0, question.length);
    if (before !== 0) {
      store.remove(before);
      this.#forget(before);
    }
    for (const answer of answers) fold(answer, NAME, nameEnd);
    const { until, ages, hits } = 'until' in validity ? validity : FOR_EVER;
    const record = store.add(bytes.fill(0, 0, 2).subarray(0, question.length), answers, this.#kindOf(tally, hits));
    if (record === 0) return;
    store.setTimes(record, Math.min(until, ages), until);
    if ('dependsOn' in validity) this.#depend(record, validity.dependsOn);
  }

  /** Forgets every answer that depends on it. */
  drop(dependency: string): void {
    for (const record of this.#dependents.get(dependency) ?? []) {
      this.#store.remove(record);
      this.#forget(record);
    }
  }

  /** For who writes capitals: 0 where there are none. */
  #findFolded(packet: Uint8Array, start: number, end: number, nameEnd: number): number {
    const { bytes, words } = this.#folded;
    bytes.set(packet.subarray(start, end));
    return fold(bytes, NAME, nameEnd - start) ? this.#store.find(words, 0, end - start) : 0;
  }

  /** Takes the seconds that have gone by off every TTL; false when its time is over. */
  #isStillTrue(record: number): boolean {
    const store = this.#store;
    const [ages, until] = [store.due(record), store.until(record)];
    if (until <= this.#now) return false;
    const seconds = Math.floor((this.#now - ages) / 1000) + 1;
    store.setTimes(record, Math.min(until, ages + seconds * 1000), until);
    for (const answer of store.answers(record)) age(answer, seconds);
    return true;
  }

  #kindOf(tally: Tally, hits: Counter): number {
    const known = this.#kinds.findIndex((kind) => kind.tally === tally && kind.hits === hits);
    return known >= 0 ? known : this.#kinds.push({ tally, hits }) - 1;
  }

  #depend(record: number, dependency: string): void {
    this.#dependencies.set(record, dependency);
    const dependents = this.#dependents.get(dependency);
    if (dependents) dependents.add(record);
    else this.#dependents.set(dependency, new Set([record]));
  }

  #forget(record: number): void {
    const dependency = this.#dependencies.get(record);
    if (dependency === undefined) return;
    this.#dependencies.delete(record);
    const dependents = this.#dependents.get(dependency);
    if (dependents?.delete(record) && dependents.size === 0) this.#dependents.delete(dependency);
  }
}

/** `answer` is one of our own making. */
function age(answer: Uint8Array, seconds: number): void {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
  for (const at of ttlOffsets(answer)) view.setUint32(at, Math.max(0, view.getUint32(at) - seconds));
}
