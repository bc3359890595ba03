// Room api: the objects of one resource in memory, their recent events, and who watches them.
import type { KubeObject } from '../objects/types.ts';

/** One revision of an object. Its value and its JSON text are made from each other when first asked for. */
export class Entry {
  readonly rev: number;
  readonly namespace: string;
  readonly name: string;
  #object: KubeObject | undefined;
  #json: string | undefined;

  private constructor(rev: number, namespace: string, name: string, object?: KubeObject, json?: string) {
    this.rev = rev;
    this.namespace = namespace;
    this.name = name;
    this.#object = object;
    this.#json = json;
  }

  static fromObject(rev: number, object: KubeObject): Entry {
    return new Entry(rev, object.metadata.namespace ?? '', object.metadata.name, object);
  }

  static fromText(rev: number, namespace: string, name: string, json: string): Entry {
    return new Entry(rev, namespace, name, undefined, json);
  }

  /** Shared by everybody in this thread: never changed. */
  get object(): KubeObject {
    this.#object ??= JSON.parse(this.#json!) as KubeObject;
    return this.#object;
  }

  get json(): string {
    this.#json ??= JSON.stringify(this.#object);
    return this.#json;
  }
}

/** `prev` is undefined for a new object; for a deletion `entry` is the final state under the deletion's revision. */
export interface StoreEvent {
  readonly entry: Entry;
  readonly prev: Entry | undefined;
  readonly deleted: boolean;
}

/** Told when events up to `durableRev` may be shown. */
export type Wake = (durableRev: number) => void;

const byName = (a: Entry, b: Entry) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

export class Bucket {
  readonly resource: string;
  /** Oldest first; those at or before the compacted revision are gone. */
  readonly events: StoreEvent[] = [];
  /** How many events were forgotten: event i of all time is `events[i - forgotten]`. */
  forgotten = 0;
  /** The newest revision that was forgotten. */
  forgottenRev = 0;
  readonly #namespaces = new Map<string, Map<string, Entry>>();
  readonly #sorted = new Map<string, readonly Entry[]>();
  readonly #watchers = new Set<Wake>();

  constructor(resource: string) {
    this.resource = resource;
  }

  get(namespace: string, name: string): Entry | undefined {
    return this.#namespaces.get(namespace)?.get(name);
  }

  set(namespace: string, name: string, entry: Entry | undefined): void {
    const names = this.#namespaces.get(namespace) ?? new Map<string, Entry>();
    if (names.size === 0) this.#namespaces.set(namespace, names);
    if (entry) names.set(name, entry);
    else names.delete(name);
    if (names.size === 0) this.#namespaces.delete(namespace);
    this.#sorted.delete(namespace);
  }

  /** Sorted by namespace, then name. */
  list(namespace?: string): readonly Entry[] {
    if (namespace !== undefined) return this.#listOf(namespace);
    return [...this.#namespaces.keys()].sort().flatMap((each) => this.#listOf(each));
  }

  #listOf(namespace: string): readonly Entry[] {
    let sorted = this.#sorted.get(namespace);
    if (!sorted) {
      sorted = [...(this.#namespaces.get(namespace)?.values() ?? [])].sort(byName);
      this.#sorted.set(namespace, sorted);
    }
    return sorted;
  }

  /** Like list, with every event after `rev` undone. */
  listAt(namespace: string | undefined, rev: number): readonly Entry[] {
    if ((this.events.at(-1)?.entry.rev ?? 0) <= rev) return this.list(namespace);
    const then = new Map<string, Entry>();
    const keyOf = (entry: Entry) => `${entry.namespace}\0${entry.name}`;
    for (const entry of this.list(namespace)) then.set(keyOf(entry), entry);
    for (const { entry, prev } of this.events.toReversed()) {
      if (entry.rev <= rev) break;
      if (namespace !== undefined && entry.namespace !== namespace) continue;
      if (prev) then.set(keyOf(entry), prev);
      else then.delete(keyOf(entry));
    }
    return [...then].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
  }

  /** The number, of all time, of the first event after `rev`. */
  positionAfter(rev: number): number {
    let low = 0;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.events[middle]!.entry.rev <= rev) low = middle + 1;
      else high = middle;
    }
    return this.forgotten + low;
  }

  forget(rev: number): void {
    const count = this.positionAfter(rev) - this.forgotten;
    this.events.splice(0, count);
    this.forgotten += count;
    this.forgottenRev = rev;
  }

  /** Undoes every event from revision `from` on, newest first, and returns them. */
  takeBack(from: number): StoreEvent[] {
    const undone = this.events.splice(this.positionAfter(from - 1) - this.forgotten).reverse();
    for (const { entry, prev } of undone) this.set(entry.namespace, entry.name, prev);
    return undone;
  }

  /** Returns how to stop. */
  watch(wake: Wake): () => void {
    this.#watchers.add(wake);
    return () => this.#watchers.delete(wake);
  }

  wake(durableRev: number): void {
    for (const wake of this.#watchers) wake(durableRev);
  }
}
