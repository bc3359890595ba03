// Room cache: read your own writes: waits until an informer shows what this process has just written.
import type { ObjectMeta } from '../objects/types.ts';
import { objectKey } from '../objects/types.ts';
import type { Informer } from './informer.ts';

interface Written {
  readonly metadata: ObjectMeta;
}

/**
 * A controller that decides from a cache must not decide twice from the same state: it ends its run by awaiting the echo of its
 * writes. (Kubernetes' controllers keep counters of expectations for this.) resourceVersions of one kind are compared as numbers.
 */
export interface Echo {
  /** After a create, update or patch, with the object that the server returned. */
  written(object: Written): Promise<void>;
  /** After a delete: resolves when the object is gone or shows its deletionTimestamp. */
  deleted(object: Written): Promise<void>;
}

interface Waiter {
  readonly shown: () => boolean;
  readonly resolve: () => void;
}

/** A watch that is silent for so long is broken; then the next run decides from what there is. */
const PATIENCE_MS = 30_000;

export function createEcho<T extends Written>(informer: Informer<T>): Echo {
  const waiters = new Set<Waiter>();
  let newest = 0;

  informer.onChange(({ object }) => {
    const version = Number(object.metadata.resourceVersion);
    if (version > newest) newest = version;
    for (const waiter of waiters) if (waiter.shown()) waiter.resolve();
  });

  function until(shown: () => boolean): Promise<void> {
    if (shown()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { shown, resolve };
    waiters.add(waiter);
    const timer = setTimeout(resolve, PATIENCE_MS).unref();
    return promise.finally(() => {
      clearTimeout(timer);
      waiters.delete(waiter);
    });
  }

  return {
    written({ metadata }) {
      const version = Number(metadata.resourceVersion);
      return until(() => !(newest < version));
    },
    deleted(object) {
      const key = objectKey(object);
      return until(() => {
        const now = informer.get(key);
        return now?.metadata.uid !== object.metadata.uid || now?.metadata.deletionTimestamp !== undefined;
      });
    },
  };
}
