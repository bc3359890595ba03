// Room cache: an informer for tests, whose objects the test sets by hand.
import type { ObjectMeta } from '../objects/types.ts';
import { IndexedObjects } from './index.ts';
import type { Change, Informer } from './informer.ts';

type Handler<T> = (change: Change<T>) => void;

/** Handlers are called at once. Not synced until sync(). */
export class MemoryInformer<T extends { metadata: ObjectMeta & { name: string } }> implements Informer<T> {
  hasSynced = false;
  readonly synced: Promise<void>;
  readonly #synced = Promise.withResolvers<void>();
  readonly #objects: IndexedObjects<T>;
  readonly #handlers = new Set<Handler<T>>();

  constructor(indexes: Record<string, (object: T) => readonly string[]> = {}) {
    this.#objects = new IndexedObjects(indexes);
    this.synced = this.#synced.promise;
  }

  sync(): this {
    this.hasSynced = true;
    this.#synced.resolve();
    return this;
  }

  set(...objects: T[]): void {
    for (const object of objects) {
      const old = this.#objects.set(object);
      for (const handler of this.#handlers) handler(old ? { type: 'update', object, old } : { type: 'add', object });
    }
  }

  delete(key: string): void {
    const object = this.#objects.delete(key);
    if (object) for (const handler of this.#handlers) handler({ type: 'delete', object });
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): Iterable<T> {
    return this.#objects.values();
  }

  byIndex(index: string, value: string): Iterable<T> {
    return this.#objects.byIndex(index, value);
  }

  onChange(handler: Handler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#objects.values()) handler({ type: 'add', object });
    return () => this.#handlers.delete(handler);
  }

  close(): void {}
}
