// Room api: tests of how long Events are kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../objects/types.ts';
import { sweepEvents } from './event-expiry.ts';
import { Store } from './store.ts';

test('an Event goes an hour after it was last seen', async () => {
  const store = new Store({ path: ':memory:' });
  const event = (name: string, creationTimestamp: string, lastTimestamp?: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name, namespace: 'default', uid: name, resourceVersion: '', creationTimestamp },
    ...(lastTimestamp && { lastTimestamp }),
  });
  store.put('events', event('old', '2026-01-01T10:00:00Z'));
  store.put('events', event('seen-again', '2026-01-01T10:00:00Z', '2026-01-01T11:30:00Z'));
  store.put('events', event('new', '2026-01-01T11:30:00Z'));
  sweepEvents(store, Date.parse('2026-01-01T12:00:00Z'));
  assert.deepEqual(
    store
      .bucket('events')
      .list()
      .map((entry) => entry.name),
    ['new', 'seen-again'],
  );
  await store.close();
});
