// Room cache: tests of informers: against our own server, and against one that breaks in chosen ways.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from '../client/client.ts';
import type { ApiRequest, Transport, WatchEvent } from '../client/transport.ts';
import { failure } from '../objects/status.ts';
import type { ConfigMap } from '../objects/types.ts';
import { type Change, createInformer } from './informer.ts';

function configMap(name: string, resourceVersion: string, value = ''): ConfigMap {
  const metadata = { name, namespace: 'default', uid: name, resourceVersion, creationTimestamp: '' };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { value } };
}

/** A server whose every answer the test gives. */
class ScriptedTransport implements Transport {
  readonly requests: string[] = [];
  objects: ConfigMap[] = [];
  resourceVersion = '1';
  listError: Error | undefined;
  #watches: { onEvent: (event: WatchEvent) => void; done: PromiseWithResolvers<void> }[] = [];
  #arrival = Promise.withResolvers<void>();

  async request(): Promise<{ status: number; body: unknown }> {
    this.requests.push('list');
    if (this.listError) throw this.listError;
    return { status: 200, body: { items: this.objects, metadata: { resourceVersion: this.resourceVersion } } };
  }

  watch(request: ApiRequest, onEvent: (event: WatchEvent) => void) {
    this.requests.push(`watch ${request.query?.['resourceVersion']}`);
    const done = Promise.withResolvers<void>();
    this.#watches.push({ onEvent, done });
    this.#arrival.resolve();
    return { done: done.promise, stop: () => done.resolve() };
  }

  /** The next watch that the informer opens. */
  async nextWatch() {
    await this.#arrival.promise;
    this.#arrival = Promise.withResolvers();
    const watch = this.#watches.shift()!;
    return {
      send: (type: WatchEvent['type'], object: unknown) => watch.onEvent({ type, object }),
      end: (error?: Error) => (error ? watch.done.reject(error) : watch.done.resolve()),
    };
  }

  close(): void {}
}

const describe = ({ type, object }: Change<ConfigMap>) =>
  `${type} ${object.metadata.name}@${object.metadata.resourceVersion}`;

function informerOf(transport: Transport) {
  const informer = createInformer(new Client(transport), 'ConfigMap', {
    indexes: { value: (object) => [object.data?.['value'] ?? ''] },
  });
  const changes: string[] = [];
  informer.onChange((change) => changes.push(describe(change)));
  return { informer, changes };
}

test('it lists, then watches from there, and tells of every change in order', async () => {
  const transport = new ScriptedTransport();
  transport.objects = [configMap('a', '1')];
  const { informer, changes } = informerOf(transport);
  assert.equal(informer.hasSynced, false);
  await informer.synced;
  const watch = await transport.nextWatch();
  watch.send('ADDED', configMap('b', '2'));
  watch.send('MODIFIED', configMap('a', '3'));
  watch.send('DELETED', configMap('b', '4'));
  assert.deepEqual(changes, ['add a@1', 'add b@2', 'update a@3', 'delete b@4']);
  assert.deepEqual(transport.requests, ['list', 'watch 1']);
  assert.deepEqual(
    [...informer.list()].map((object) => object.metadata.name),
    ['a'],
  );
  informer.close();
});

test('a watch that ends is resumed where it was, bookmarks included', async () => {
  const transport = new ScriptedTransport();
  const { informer } = informerOf(transport);
  const first = await transport.nextWatch();
  first.send('ADDED', configMap('a', '5'));
  first.send('BOOKMARK', { metadata: { resourceVersion: '9' } });
  first.end();
  const second = await transport.nextWatch();
  second.end(new Error('connection reset'));
  await transport.nextWatch();
  assert.deepEqual(transport.requests, ['list', 'watch 1', 'watch 9', 'watch 9']);
  informer.close();
});

test('after 410 it lists again and tells only of what changed meanwhile', async () => {
  const transport = new ScriptedTransport();
  transport.objects = [configMap('kept', '1'), configMap('changed', '1'), configMap('gone', '1')];
  const { informer, changes } = informerOf(transport);
  const watch = await transport.nextWatch();
  changes.length = 0;
  transport.objects = [configMap('kept', '1'), configMap('changed', '7'), configMap('new', '8')];
  transport.resourceVersion = '8';
  watch.end(failure(410, 'Expired', 'too old resource version: 1 (5)'));
  await transport.nextWatch();
  assert.deepEqual(changes, ['update changed@7', 'add new@8', 'delete gone@1']);
  assert.equal(transport.requests.at(-1), 'watch 8');
  informer.close();
});

test('a server that cannot be reached is asked again until it answers', async () => {
  const transport = new ScriptedTransport();
  transport.listError = new Error('connect ECONNREFUSED');
  const { informer } = informerOf(transport);
  while (transport.requests.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(informer.hasSynced, false);
  transport.listError = undefined;
  await informer.synced;
  informer.close();
});

test('a handler that comes late first hears of what is there; one that fails does not stop the others', async () => {
  const transport = new ScriptedTransport();
  transport.objects = [configMap('a', '1')];
  const { informer, changes } = informerOf(transport);
  const watch = await transport.nextWatch();
  const late: string[] = [];
  const stop = informer.onChange((change) => late.push(describe(change)));
  assert.deepEqual(late, ['add a@1']);
  stop();
  watch.send('MODIFIED', configMap('a', '2'));
  assert.deepEqual(late, ['add a@1']);
  assert.deepEqual(changes.at(-1), 'update a@2');
  informer.close();
});

test('an index finds objects by what they hold now', async () => {
  const transport = new ScriptedTransport();
  transport.objects = [configMap('a', '1', 'x'), configMap('b', '1', 'x')];
  const { informer } = informerOf(transport);
  const watch = await transport.nextWatch();
  const names = (value: string) => [...informer.byIndex('value', value)].map((object) => object.metadata.name);
  assert.deepEqual(names('x'), ['a', 'b']);
  watch.send('MODIFIED', configMap('a', '2', 'y'));
  assert.deepEqual([names('x'), names('y')], [['b'], ['a']]);
  watch.send('DELETED', configMap('b', '3', 'x'));
  assert.deepEqual(names('x'), []);
  assert.throws(() => informer.byIndex('no', ''), /no index/);
  informer.close();
});

test('after close nothing is told any more', async () => {
  const transport = new ScriptedTransport();
  const { informer, changes } = informerOf(transport);
  const watch = await transport.nextWatch();
  informer.close();
  watch.send('ADDED', configMap('a', '2'));
  assert.deepEqual(changes, []);
});

test('of changes that its view does not show nobody is told, whether the server knows views or not', async () => {
  const transport = new ScriptedTransport();
  transport.objects = [
    { ...configMap('a', '1', 'x'), metadata: { ...configMap('a', '1').metadata, labels: { l: '1' } } },
  ];
  const view = {
    name: 'data',
    prune: ({ apiVersion, kind, metadata, data }: ConfigMap) =>
      ({ apiVersion, kind, data, metadata: { ...metadata, labels: {} } }) as ConfigMap,
  };
  const informer = createInformer(new Client(transport), 'ConfigMap', { view });
  const changes: string[] = [];
  informer.onChange((change) => changes.push(describe(change)));
  const watch = await transport.nextWatch();
  watch.send('MODIFIED', configMap('a', '2', 'x'));
  watch.send('MODIFIED', configMap('a', '3', 'y'));
  watch.send('DELETED', configMap('a', '4', 'y'));
  assert.deepEqual(changes, ['add a@1', 'update a@3', 'delete a@4']);
  informer.close();
});
