// Room api: every live object and the recent revisions in memory, over the table of revisions on disk.
import type { KubeObject } from '../objects/types.ts';
import { Bucket, Entry, type StoreEvent } from './bucket.ts';
import { type Revision, RevisionDatabase } from './database.ts';

export interface StoreOptions {
  /** A file, or `:memory:`. */
  readonly path: string;
  /** How many revisions can be resumed from; older ones are compacted. */
  readonly keepRevisions?: number;
  /** Seconds after which a replaced revision may be compacted. */
  readonly keepSeconds?: number;
}

export type ApplyHook = (next: KubeObject | undefined, prev: KubeObject | undefined) => void;

/** Writes that share one commit and one flush of the disk. */
interface Group {
  readonly from: number;
  readonly revisions: Revision[];
  readonly buckets: Set<Bucket>;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * Reading and writing memory is synchronous, so that a read-modify-write needs no lock. A write is acknowledged, shown
 * to watchers and answered to readers only once it is durable: await `durable(rev)` before telling anybody.
 */
export class Store {
  readonly #db: RevisionDatabase;
  readonly #buckets = new Map<string, Bucket>();
  readonly #keepRevisions: number;
  readonly #keepSeconds: number;
  readonly #hooks = new Map<string, ApplyHook[]>();
  readonly #marks: { time: number; rev: number }[] = [];
  readonly #ageTimer: NodeJS.Timeout;
  #rev: number;
  #durableRev: number;
  #compactedRev: number;
  /** Gathers writes while the one before it is on its way to the disk. */
  #open: Group | undefined;
  #writing: Group | undefined;
  #flushing: Promise<void> | undefined;
  #closed = false;

  constructor(options: StoreOptions, database = new RevisionDatabase(options.path)) {
    this.#keepRevisions = options.keepRevisions ?? 10_000;
    this.#keepSeconds = options.keepSeconds ?? 300;
    this.#db = database;
    this.#compactedRev = this.#db.mark('compacted');
    this.#rev = Math.max(1, this.#compactedRev);
    for (const revision of this.#db.revisions()) this.#load(revision);
    this.#durableRev = this.#rev;
    this.#ageTimer = setInterval(() => this.#compactByAge(), (this.#keepSeconds * 1000) / 5).unref();
  }

  #load(revision: Revision): void {
    const { rev, resource, namespace, name, deleted } = revision;
    const bucket = this.bucket(resource);
    const prev = bucket.get(namespace, name);
    const entry = Entry.fromText(rev, namespace, name, revision.json);
    bucket.set(namespace, name, deleted ? undefined : entry);
    if (rev > this.#compactedRev) bucket.events.push({ entry, prev, deleted });
    this.#rev = Math.max(this.#rev, rev); // the newest may have been a deletion that compaction forgot
  }

  /** The newest revision, durable or not yet. */
  get rev(): number {
    return this.#rev;
  }

  get durableRev(): number {
    return this.#durableRev;
  }

  /** A watch or a list can start after this revision, not before. */
  get compactedRev(): number {
    return this.#compactedRev;
  }

  /** All objects of one resource, `pods` or `deployments.apps`. */
  bucket(resource: string): Bucket {
    const bucket = this.#buckets.get(resource) ?? new Bucket(resource);
    this.#buckets.set(resource, bucket);
    return bucket;
  }

  get(resource: string, namespace: string, name: string): Entry | undefined {
    return this.#buckets.get(resource)?.get(namespace, name);
  }

  /** Calls `hook` for each object there is, then at each change in memory (also when a failed write is taken back). */
  onApply(resource: string, hook: ApplyHook): void {
    const hooks = this.#hooks.get(resource) ?? [];
    this.#hooks.set(resource, [...hooks, hook]);
    for (const entry of this.bucket(resource).list()) hook(entry.object, undefined);
  }

  /** Writes `object` under the next revision (set as its resourceVersion, in place). */
  put(resource: string, object: KubeObject): Entry {
    return this.#apply(resource, object, false);
  }

  /** `object` is the final state, which watchers see with the revision of the deletion. */
  remove(resource: string, object: KubeObject): Entry {
    return this.#apply(resource, { ...object, metadata: { ...object.metadata } }, true);
  }

  #apply(resource: string, object: KubeObject, deleted: boolean): Entry {
    const { namespace = '', name } = object.metadata;
    const bucket = this.bucket(resource);
    const prev = bucket.get(namespace, name);
    const rev = ++this.#rev;
    object.metadata.resourceVersion = String(rev);
    const entry = Entry.fromObject(rev, object);
    bucket.set(namespace, name, deleted ? undefined : entry);
    bucket.events.push({ entry, prev, deleted });
    for (const hook of this.#hooks.get(resource) ?? []) hook(deleted ? undefined : object, prev?.object);
    this.#enqueue(bucket, {
      rev,
      resource,
      namespace,
      name,
      prev: prev?.rev ?? 0,
      deleted,
      time: Date.now(),
      json: entry.json,
    });
    return entry;
  }

  #enqueue(bucket: Bucket, revision: Revision): void {
    if (!this.#open) {
      this.#open = { from: revision.rev, revisions: [], buckets: new Set(), done: Promise.withResolvers() };
      this.#open.done.promise.catch(() => {}); // who waits for it hears of it; nobody has to
    }
    this.#open.revisions.push(revision);
    this.#open.buckets.add(bucket);
    // Everything that this turn of the event loop writes shares one commit and one flush of the disk.
    this.#flushing ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#flush());
  }

  async #flush(): Promise<void> {
    for (let group = this.#open; group; group = this.#open) {
      this.#writing = group;
      this.#open = undefined;
      try {
        this.#db.append(group.revisions);
        await this.#db.sync();
      } catch (error) {
        this.#takeBack(group, error);
        continue;
      }
      this.#durableRev = group.revisions.at(-1)!.rev;
      group.done.resolve();
      for (const bucket of group.buckets) bucket.wake(this.#durableRev);
      if (this.#durableRev - this.#compactedRev > this.#keepRevisions * 1.25) {
        this.compact(this.#durableRev - this.#keepRevisions);
      }
    }
    this.#writing = undefined;
    this.#flushing = undefined;
  }

  /** The disk refused a group: memory goes back to before it, also for writes that came after and built on it. */
  #takeBack(group: Group, error: unknown): void {
    for (const bucket of this.#buckets.values()) {
      for (const event of bucket.takeBack(group.from)) {
        const failed = event.deleted ? undefined : event.entry.object;
        for (const hook of this.#hooks.get(bucket.resource) ?? []) hook(event.prev?.object, failed);
      }
    }
    group.done.reject(error);
    this.#open?.done.reject(error);
    this.#open = undefined;
  }

  /** Resolves when revision `rev` is on the disk; rejects when the disk refused it. */
  async durable(rev: number): Promise<void> {
    if (rev <= this.#durableRev) return;
    const group = this.#open && rev >= this.#open.from ? this.#open : this.#writing;
    await group?.done.promise;
  }

  /** The objects as they stood at revision `rev`, sorted by namespace and name. `rev` must not be compacted. */
  listAt(resource: string, namespace: string | undefined, rev: number): readonly Entry[] {
    return this.bucket(resource).listAt(namespace, rev);
  }

  /** Forgets what happened at or before `rev`, but for the objects themselves. */
  compact(rev: number): void {
    if (rev <= this.#compactedRev || rev > this.#durableRev) return;
    this.#compactedRev = rev;
    for (const bucket of this.#buckets.values()) bucket.forget(rev);
    this.#db.compact(rev);
  }

  #compactByAge(): void {
    const now = Date.now();
    this.#marks.push({ time: now, rev: this.#durableRev });
    while (this.#marks[0] && now - this.#marks[0].time >= this.#keepSeconds * 1000)
      this.compact(this.#marks.shift()!.rev);
  }

  /** Flushes what is pending; nothing may be written after. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ageTimer);
    await this.#flushing;
    this.#db.close();
  }
}

export type { Bucket, Entry, StoreEvent };
