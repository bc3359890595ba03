// Room api: tests of the way over a MessagePort, both ends of it.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { startTestApi } from '../../test/api/server.ts';
import { createInformer } from '../cache/informer.ts';
import { Client } from '../client/client.ts';
import { portTransport } from '../client/port.ts';

async function overPort(t: TestContext, options: Parameters<typeof startTestApi>[1] = {}) {
  const server = await startTestApi(t, options);
  const { port1, port2 } = new MessageChannel();
  server.servePort(port1);
  const client = new Client(portTransport(port2));
  t.after(() => client.transport.close());
  return { client, direct: new Client(server.transport) };
}

const cm = (name: string) => ({ metadata: { name, namespace: 'default' }, data: {} });

test('requests and their failures', async (t) => {
  const { client } = await overPort(t);
  const made = await client.create('ConfigMap', cm('a'));
  assert.deepEqual(await client.get('ConfigMap', 'a', 'default'), made);
  await assert.rejects(client.get('ConfigMap', 'b', 'default'), { code: 404, message: 'configmaps "b" not found' });
});

test('an informer keeps up with thousands of changes, which come in few messages', async (t) => {
  const { client, direct } = await overPort(t);
  const informer = createInformer(client, 'ConfigMap');
  await informer.synced;
  const count = 2000;
  const all = Promise.withResolvers<void>();
  let seen = 0;
  informer.onChange(() => {
    if (++seen === count) all.resolve();
  });
  await Promise.all(Array.from({ length: count }, (_, i) => direct.create('ConfigMap', cm(`c${i}`))));
  await all.promise;
  assert.equal([...informer.list()].length, count);
  informer.close();
});

test('what happens while a reader is busy comes in one message when it has done', async (t) => {
  const server = await startTestApi(t);
  const { port1, port2 } = new MessageChannel();
  server.servePort(port1);
  t.after(() => port2.close());
  const messages: { sequence: number; events: unknown[] }[] = [];
  const told: (() => void)[] = [];
  port2.on('message', (message) => {
    if ('events' in message) messages.push(message);
    for (const tell of told.splice(0)) tell();
  });
  const until = async (count: number) => {
    while (messages.length < count) await new Promise<void>((resolve) => told.push(resolve));
  };
  const direct = new Client(server.transport);
  const { resourceVersion } = (await direct.list('ConfigMap')).metadata;
  const query = { watch: 'true', resourceVersion };
  port2.postMessage({ id: 1, watch: true, request: { method: 'GET', path: '/api/v1/configmaps', query } });
  await direct.create('ConfigMap', cm('a'));
  await until(1);
  for (const name of ['b', 'c', 'd']) await direct.create('ConfigMap', cm(name));
  port2.postMessage({ id: 1, taken: 1 });
  await until(2);
  assert.deepEqual(
    messages.map(({ sequence, events }) => [sequence, events.length]),
    [
      [1, 1],
      [2, 3],
    ],
  );
});

test('a watch can be stopped, and one that cannot begin says why', async (t) => {
  const { client, direct } = await overPort(t);
  const seen: unknown[] = [];
  const stream = client.watch('ConfigMap', { resourceVersion: '1' }, (event) => seen.push(event));
  stream.stop();
  await stream.done;
  await direct.create('ConfigMap', cm('a'));
  await client.get('ConfigMap', 'a', 'default');
  assert.deepEqual(seen, []);
  const refused = client.watch('ConfigMap', { resourceVersion: '99999' }, () => {});
  await assert.rejects(refused.done, { code: 410 });
});

test('when the port closes, what waits is told', async (t) => {
  const { client } = await overPort(t);
  const stream = client.watch('ConfigMap', {}, () => {});
  client.transport.close();
  await stream.done;
  await assert.rejects(client.list('ConfigMap'), /closed/);
});
