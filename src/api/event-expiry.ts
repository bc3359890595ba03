// Room api: Events are kept for an hour.
import type { Event } from '../objects/types.ts';
import type { Store } from './store.ts';

const KEPT_MS = 3_600_000;
const SWEEP_MS = 60_000;

/** Returns how to stop. */
export function expireEvents(store: Store): () => void {
  const timer = setInterval(() => sweepEvents(store, Date.now()), SWEEP_MS).unref();
  return () => clearInterval(timer);
}

export function sweepEvents(store: Store, now: number): void {
  for (const entry of store.bucket('events').list()) {
    const { metadata, lastTimestamp, eventTime } = entry.object as unknown as Event;
    const last = Math.max(
      ...[metadata.creationTimestamp, lastTimestamp, eventTime].map((text) => Date.parse(text ?? '') || 0),
    );
    if (now - last > KEPT_MS) store.remove('events', entry.object);
  }
}
