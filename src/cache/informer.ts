// Room cache: a list and its watch kept as a local, indexed copy of one kind.
import type { Client } from '../client/client.ts';
import { type Kind, type KindTypes, type KubeObject, objectKey } from '../objects/types.ts';
import { showSame, type View } from '../objects/views.ts';
import { logger } from '../observe/log.ts';
import { IndexedObjects } from './index.ts';
import { ListWatch } from './list-watch.ts';

export type Change<T> =
  | { readonly type: 'add'; readonly object: T }
  | { readonly type: 'update'; readonly object: T; readonly old: T }
  | { readonly type: 'delete'; readonly object: T };

export interface InformerOptions<T> {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** What is kept of objects; of changes that it does not show nobody is told. */
  view?: View<T>;
  /** Index name to the values under which an object is found. */
  indexes?: Record<string, (object: T) => readonly string[]>;
}

/** A read-only view of one kind, kept up to date. Objects are shared: never change them. */
export interface Informer<T> {
  /** True once the first list has been delivered to every handler. "Not synced" is a state with an answer of its own. */
  readonly hasSynced: boolean;
  readonly synced: Promise<void>;
  /** By `namespace/name`, or `name` for cluster-scoped kinds. */
  get(key: string): T | undefined;
  list(): Iterable<T>;
  byIndex(index: string, value: string): Iterable<T>;
  /** The handler first sees an `add` for each object known by now, then every change in order. Returns how to stop. */
  onChange(handler: (change: Change<T>) => void): () => void;
  close(): void;
}

export type InformerOf = <K extends Kind>(
  client: Client,
  kind: K,
  options?: InformerOptions<KindTypes[K]>,
) => Informer<KindTypes[K]>;

/** Lists and watches until `close()`: it resumes after lost connections and lists again when it must. */
export const createInformer: InformerOf = (client, kind, options = {}) => new ListWatchInformer(client, kind, options);

class ListWatchInformer<K extends Kind> implements Informer<KindTypes[K]> {
  readonly #objects: IndexedObjects<KindTypes[K]>;
  readonly #handlers = new Set<(change: Change<KindTypes[K]>) => void>();
  readonly #listWatch: ListWatch;
  readonly #synced = Promise.withResolvers<void>();
  readonly #view: View<KindTypes[K]> | undefined;
  #hasSynced = false;

  constructor(client: Client, kind: K, options: InformerOptions<KindTypes[K]>) {
    const { indexes = {}, namespace, labelSelector, fieldSelector, view } = options;
    this.#view = view;
    this.#objects = new IndexedObjects(indexes);
    const target = { kind, namespace, labelSelector, fieldSelector, view: view?.name };
    this.#listWatch = new ListWatch(client, target, {
      replace: (objects) => this.#replace(objects as unknown as KindTypes[K][]),
      changed: (object) => this.#set(object as unknown as KindTypes[K]),
      deleted: (object) => this.#delete(objectKey(object), object as unknown as KindTypes[K]),
    });
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  get(key: string): KindTypes[K] | undefined {
    return this.#objects.get(key);
  }

  list(): Iterable<KindTypes[K]> {
    return this.#objects.values();
  }

  byIndex(index: string, value: string): Iterable<KindTypes[K]> {
    return this.#objects.byIndex(index, value);
  }

  onChange(handler: (change: Change<KindTypes[K]>) => void): () => void {
    for (const object of [...this.#objects.values()]) callHandler(handler, { type: 'add', object });
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  close(): void {
    this.#listWatch.close();
    this.#handlers.clear();
  }

  /** A list tells what is there now: what is missing from it was deleted while nobody watched. */
  #replace(objects: readonly KindTypes[K][]): void {
    const gone = new Set(this.#objects.keys());
    for (const object of objects) {
      gone.delete(objectKey(object));
      this.#set(object);
    }
    for (const key of gone) this.#delete(key);
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  #set(whole: KindTypes[K]): void {
    const known = this.#objects.get(objectKey(whole));
    if (known?.metadata.resourceVersion === whole.metadata.resourceVersion) return;
    // A server that knows views has done so already.
    const object = this.#view ? this.#view.prune(whole) : whole;
    const old = this.#objects.set(object);
    if (old && this.#view && showSame(old as KubeObject, object as KubeObject)) return;
    this.#tell(old ? { type: 'update', object, old } : { type: 'add', object });
  }

  #delete(key: string, final?: KindTypes[K]): void {
    const old = this.#objects.delete(key);
    if (old) this.#tell({ type: 'delete', object: final ?? old });
  }

  #tell(change: Change<KindTypes[K]>): void {
    for (const handler of this.#handlers) callHandler(handler, change);
  }
}

/** One handler that fails must not keep the others from hearing of the change. */
function callHandler<T>(handler: (change: Change<T>) => void, change: Change<T>): void {
  try {
    handler(change);
  } catch (error) {
    logger('cache').error({ err: error }, 'a handler of a change failed');
  }
}
