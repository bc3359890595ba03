// Test api: logs and exec pass through to a node's agent, for which a small server on a unix socket stands here.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { Client } from '../../src/client/client.ts';
import { HttpsTransport } from '../../src/client/https.ts';
import { readKubeconfig } from '../../src/client/kubeconfig.ts';
import type { Draft, Pod } from '../../src/objects/types.ts';
import { startTestApi } from './server.ts';

const pod = (name: string, nodeName: string | undefined, containers: string[]): Draft<Pod> => ({
  metadata: { name, namespace: 'default' },
  spec: { ...(nodeName && { nodeName }), containers: containers.map((each) => ({ name: each, image: 'host' })) },
});

interface Kubelet {
  readonly urls: string[];
  answer: (response: ServerResponse) => void;
}

/** Answers logs as the test says, and echoes on exec. */
async function startKubelet(t: TestContext, path: string): Promise<Kubelet> {
  const kubelet: Kubelet = { urls: [], answer: (response) => response.end('hello\n') };
  const server = createServer((request, response) => {
    kubelet.urls.push(request.url!);
    kubelet.answer(response);
  });
  const sockets = new WebSocketServer({ server, handleProtocols: () => 'v5.channel.k8s.io' });
  sockets.on('connection', (socket, request) => {
    kubelet.urls.push(request.url!);
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    sockets.close();
    server.closeAllConnections();
    server.close();
  });
  return kubelet;
}

async function withKubelet(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'podwire-kubelet-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const socket = join(directory, 'kubelet.sock');
  const kubelet = await startKubelet(t, socket);
  const sockets: Record<string, string> = { n1: socket, gone: join(directory, 'gone.sock') };
  const listen = [{ host: '127.0.0.1', port: 0 }];
  const server = await startTestApi(t, { listen, kubeletSocket: (node) => sockets[node] });
  const file = join(directory, 'kubeconfig');
  writeFileSync(file, server.kubeconfig);
  const target = await readKubeconfig(file);
  const transport = new HttpsTransport(target);
  t.after(() => transport.close());
  const client = new Client(transport);
  await client.create('Pod', pod('one', 'n1', ['main']));
  await client.create('Pod', pod('two', 'n1', ['a', 'b']));
  await client.create('Pod', pod('pending', undefined, ['main']));
  await client.create('Pod', pod('lost', 'gone', ['main']));
  const logs = (name: string, query: Record<string, string> = {}) =>
    transport.request({ method: 'GET', path: `/api/v1/namespaces/default/pods/${name}/log`, query });
  return { kubelet, server, target, logs };
}

const messageOf = ({ status, body }: { status: number; body: unknown }) => `${status} ${(body as Error).message}`;

test('logs come from the node of the pod, with what was asked for', async (t) => {
  const { kubelet, logs } = await withKubelet(t);
  assert.deepEqual(await logs('one', { tailLines: '5', follow: 'true' }), { status: 200, body: 'hello\n' });
  assert.deepEqual(await logs('two', { container: 'b' }), { status: 200, body: 'hello\n' });
  assert.deepEqual(kubelet.urls, [
    '/containerLogs/default/one/main?tailLines=5&follow=true',
    '/containerLogs/default/two/b?',
  ]);
});

test('what cannot be answered is said in the words of Kubernetes', async (t) => {
  const { kubelet, logs } = await withKubelet(t);
  assert.equal(
    messageOf(await logs('two')),
    '400 a container name must be specified for pod two, choose one of: [a b]',
  );
  assert.equal(messageOf(await logs('one', { container: 'x' })), '400 container x is not valid for pod one');
  assert.equal(messageOf(await logs('nobody')), '404 pods "nobody" not found');
  assert.deepEqual(await logs('pending'), { status: 200, body: '' });
  assert.match(messageOf(await logs('lost')), /^503 the agent of node "gone" cannot be reached/);
  const waiting = 'container "main" in pod "one" is waiting to start: ContainerCreating';
  kubelet.answer = (response) => response.writeHead(400).end(waiting);
  assert.equal(messageOf(await logs('one')), `400 ${waiting}`);
});

function exec(target: Awaited<ReturnType<typeof readKubeconfig>>, name: string): WebSocket {
  const url = `${target.server.replace('https', 'wss')}/api/v1/namespaces/default/pods/${name}/exec`;
  return new WebSocket(
    `${url}?command=sh&command=-c&stdin=true&container=main`,
    ['v5.channel.k8s.io'],
    target.tls as object,
  );
}

test('exec passes the connection through, both ways', async (t) => {
  const { kubelet, target } = await withKubelet(t);
  const socket = exec(target, 'one');
  const echoed = Promise.withResolvers<string>();
  socket.on('open', () => socket.send(Buffer.from('\0hello')));
  socket.on('message', (data) => echoed.resolve(String(data)));
  socket.on('error', echoed.reject);
  assert.equal(await echoed.promise, '\0hello');
  assert.equal(socket.protocol, 'v5.channel.k8s.io');
  assert.deepEqual(kubelet.urls, ['/exec/default/one/main?command=sh&command=-c&stdin=true']);
  const closed = new Promise<number>((resolve) => socket.on('close', resolve));
  socket.close(1000);
  assert.equal(await closed, 1000);
});

test('exec that cannot be is refused before the protocol changes', async (t) => {
  const { target } = await withKubelet(t);
  for (const [name, message] of [
    ['pending', /pod pending does not have a host assigned/],
    ['nobody', /pods \\"nobody\\" not found/],
  ] as const) {
    const refused = Promise.withResolvers<string>();
    exec(target, name)
      .on('unexpected-response', async (_, response) => {
        refused.resolve(`${response.statusCode} ${Buffer.concat(await response.toArray())}`);
      })
      .on('error', refused.reject);
    assert.match(await refused.promise, message);
  }
});

test('the server closes although somebody is in an exec session', async (t) => {
  const { server, target } = await withKubelet(t);
  const socket = exec(target, 'one');
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  const closed = new Promise((resolve) => socket.on('close', resolve));
  await server.close();
  await closed;
});
