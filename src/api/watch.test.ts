// Room api: tests of watches: selections, readers that are slow, readers that are too slow, bookmarks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StatusError } from '../objects/status.ts';
import type { KubeObject } from '../objects/types.ts';
import { Store } from './store.ts';
import { type Sink, Watcher, type WatchFilter, type WatchStart } from './watch.ts';

function configMap(name: string, labels: Record<string, string> = {}): KubeObject {
  const metadata = { name, namespace: 'default', uid: name, resourceVersion: '', creationTimestamp: '', labels };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata };
}

class Recorder implements Sink {
  ready = true;
  readonly seen: string[] = [];
  readonly objects: KubeObject[] = [];
  error: StatusError | undefined;

  send(...[type, entry]: Parameters<Sink['send']>): void {
    this.seen.push(`${type} ${entry.object.metadata.name ?? ''}@${entry.object.metadata.resourceVersion}`);
    this.objects.push(entry.object);
  }

  end(error?: StatusError): void {
    this.error = error;
    this.seen.push('end');
  }
}

function watch(store: Store, filter: WatchFilter, start: WatchStart): { sink: Recorder; watcher: Watcher } {
  const sink = new Recorder();
  const bucket = store.bucket('configmaps');
  const source = { bucket, durableRev: store.durableRev, apiVersion: 'v1', kind: 'ConfigMap' };
  const watcher = new Watcher(source, filter, start, sink, () => {});
  watcher.pump();
  return { sink, watcher };
}

async function put(store: Store, object: KubeObject): Promise<number> {
  const { rev } = store.put('configmaps', object);
  await store.durable(rev);
  return rev;
}

test('an object that enters or leaves the selection is added or deleted', async () => {
  const store = new Store({ path: ':memory:' });
  const matches = (object: KubeObject) => object.metadata.labels?.['app'] === 'web';
  const { sink } = watch(store, { matches }, { after: store.durableRev, bookmarks: false });
  await put(store, configMap('a')); // 2: not selected
  await put(store, configMap('a', { app: 'web' })); // 3
  await put(store, configMap('a', { app: 'web', x: 'y' })); // 4
  await put(store, configMap('a', { app: 'db' })); // 5
  assert.deepEqual(sink.seen, ['ADDED a@3', 'MODIFIED a@4', 'DELETED a@5']);
  assert.deepEqual(sink.objects[2]?.metadata.labels, { app: 'web', x: 'y' });
  await store.close();
});

test('nothing is shown before it is durable', async () => {
  const store = new Store({ path: ':memory:' });
  const { sink } = watch(store, {}, { after: store.durableRev, bookmarks: false });
  const { rev } = store.put('configmaps', configMap('a'));
  assert.deepEqual(sink.seen, []);
  await store.durable(rev);
  assert.deepEqual(sink.seen, ['ADDED a@2']);
  await store.close();
});

test('a reader that stops reading goes on where it was', async () => {
  const store = new Store({ path: ':memory:' });
  const { sink, watcher } = watch(store, {}, { after: store.durableRev, bookmarks: false });
  await put(store, configMap('a'));
  sink.ready = false;
  await put(store, configMap('b'));
  await put(store, configMap('c'));
  assert.deepEqual(sink.seen, ['ADDED a@2']);
  sink.ready = true;
  watcher.pump();
  assert.deepEqual(sink.seen, ['ADDED a@2', 'ADDED b@3', 'ADDED c@4']);
  await store.close();
});

test('a reader that fell behind the compacted revision gets 410', async () => {
  const store = new Store({ path: ':memory:' });
  const { sink, watcher } = watch(store, {}, { after: store.durableRev, bookmarks: false });
  sink.ready = false;
  await put(store, configMap('a'));
  store.compact(await put(store, configMap('b')));
  sink.ready = true;
  watcher.pump();
  assert.deepEqual(sink.seen, ['end']);
  assert.equal(sink.error?.code, 410);
  assert.match(sink.error?.message ?? '', /^too old resource version: 1 \(3\)$/);
  await store.close();
});

test('initial objects end with a bookmark that says so, and later bookmarks tell how far the watch is', async () => {
  const store = new Store({ path: ':memory:' });
  await put(store, configMap('a'));
  const initial = store.bucket('configmaps').list();
  const start = { initial, after: store.durableRev, bookmarks: true, markInitialEnd: true };
  const { sink, watcher } = watch(store, {}, start);
  assert.deepEqual(sink.seen, ['ADDED a@2', 'BOOKMARK @2']);
  assert.deepEqual(sink.objects[1]?.metadata.annotations, { 'k8s.io/initial-events-end': 'true' });
  store.put('secrets', { ...configMap('s'), kind: 'Secret' });
  await store.durable(store.rev);
  await put(store, configMap('b'));
  watcher.bookmark();
  assert.deepEqual(sink.seen.slice(2), ['ADDED b@4', 'BOOKMARK @4']);
  assert.equal(sink.objects[3]?.metadata.annotations, undefined);
  await store.close();
});

test('a view sends what it shows, and says nothing of changes that it does not show', async () => {
  const store = new Store({ path: ':memory:' });
  const view = {
    name: 'labels',
    prune: ({ apiVersion, kind, metadata }: KubeObject) => ({ apiVersion, kind, metadata }),
  };
  const { sink } = watch(store, { view }, { after: store.durableRev, bookmarks: false });
  await put(store, { ...configMap('a'), data: { x: '1' } } as KubeObject); // 2
  await put(store, { ...configMap('a'), data: { x: '2' } } as KubeObject); // 3: not shown
  await put(store, { ...configMap('a', { app: 'web' }), data: { x: '3' } } as KubeObject); // 4
  assert.deepEqual(sink.seen, ['ADDED a@2', 'MODIFIED a@4']);
  assert.ok(sink.objects.every((object) => !('data' in object)));
  await store.close();
});
