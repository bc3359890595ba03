// Room dns (tests): an informer whose objects the test sets by hand.
import type { Change, Informer } from '../../src/cache/informer.ts';
import { type ObjectMeta, objectKey } from '../../src/objects/types.ts';

export class MemoryInformer<T extends { metadata: ObjectMeta }> implements Informer<T> {
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Set<(change: Change<T>) => void>();
  readonly #synced = Promise.withResolvers<void>();
  hasSynced = false;

  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  sync(): void {
    this.hasSynced = true;
    this.#synced.resolve();
  }

  set(object: T): void {
    const key = objectKey(object);
    const old = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const handler of this.#handlers) handler(old ? { type: 'update', object, old } : { type: 'add', object });
  }

  delete(key: string): void {
    const object = this.#objects.get(key);
    this.#objects.delete(key);
    if (object) for (const handler of this.#handlers) handler({ type: 'delete', object });
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): Iterable<T> {
    return this.#objects.values();
  }

  byIndex(): Iterable<T> {
    return [];
  }

  onChange(handler: (change: Change<T>) => void): () => void {
    this.#handlers.add(handler);
    for (const object of this.#objects.values()) handler({ type: 'add', object });
    return () => this.#handlers.delete(handler);
  }

  close(): void {}
}
