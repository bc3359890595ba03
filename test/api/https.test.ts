// Test api: the server as clients elsewhere see it: TLS, who is let in, forms of answers, streams, restarts.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ApiServer, ApiServerOptions } from '../../src/api/server.ts';
import { startApiServer } from '../../src/api/start.ts';
import { createInformer } from '../../src/cache/informer.ts';
import { Client } from '../../src/client/client.ts';
import { type HttpsTarget, HttpsTransport } from '../../src/client/https.ts';
import { readKubeconfig } from '../../src/client/kubeconfig.ts';
import { listenOn, openSocket } from '../../src/sys/socket.ts';
import { startTestApi, TEST_API_OPTIONS } from './server.ts';

const LISTEN = { listen: [{ host: '127.0.0.1', port: 0 }] };

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'podwire-api-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function targetOf(t: TestContext, server: ApiServer): Promise<HttpsTarget> {
  const path = join(temporaryDirectory(t), 'kubeconfig');
  writeFileSync(path, server.kubeconfig);
  return readKubeconfig(path);
}

async function overTls(t: TestContext, options: Partial<ApiServerOptions> = {}) {
  const server = await startTestApi(t, { ...LISTEN, ...options });
  const target = await targetOf(t, server);
  const client = new Client(new HttpsTransport(target));
  t.after(() => client.transport.close());
  return { server, target, client };
}

interface Raw {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  anonymous?: boolean;
}

function send({ server, tls }: HttpsTarget, path: string, raw: Raw = {}): Promise<IncomingMessage> {
  const { method = 'GET', headers = {}, body, anonymous } = raw;
  const options = { ...(anonymous ? { ca: tls.ca } : tls), agent: false, method, headers };
  return new Promise((resolve, reject) => {
    httpsRequest(`${server}${path}`, options, resolve).on('error', reject).end(body);
  });
}

async function fetchText(target: HttpsTarget, path: string, raw: Raw = {}) {
  const response = await send(target, path, raw);
  const text = Buffer.concat(await response.toArray()).toString();
  return { status: response.statusCode, headers: response.headers, text };
}

async function fetchJson(target: HttpsTarget, path: string, raw: Raw = {}) {
  const { status, text } = await fetchText(target, path, raw);
  return { status, body: JSON.parse(text) };
}

const cm = (name: string) => ({ metadata: { name, namespace: 'default' }, data: { a: 'b' } });
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

test('nobody is let in without a certificate or a token, but for health and version', async (t) => {
  const { target } = await overTls(t);
  const refused = await fetchJson(target, '/api/v1/pods', { anonymous: true });
  assert.deepEqual([refused.status, refused.body.reason], [401, 'Unauthorized']);
  const wrong = await fetchJson(target, '/api/v1/pods', { headers: { authorization: 'Bearer nonsense' } });
  assert.equal(wrong.status, 401);
  for (const path of ['/livez', '/readyz', '/healthz']) {
    assert.equal((await fetchText(target, path, { anonymous: true })).text, 'ok');
  }
  assert.equal((await fetchJson(target, '/version', { anonymous: true })).body.gitVersion, 'v1.36.0+podwire');
  assert.equal((await fetchJson(target, '/api/v1/pods')).status, 200);
});

test('a service account comes in with a token, until the account is gone', async (t) => {
  const { target, client } = await overTls(t);
  await client.create('ServiceAccount', { metadata: { name: 'robot', namespace: 'default' } });
  const path = '/api/v1/namespaces/default/serviceaccounts/robot/token';
  const body = JSON.stringify({ kind: 'TokenRequest', apiVersion: 'authentication.k8s.io/v1', spec: {} });
  const headers = { 'content-type': 'application/json' };
  const { body: made } = await fetchJson(target, path, { method: 'POST', headers, body });
  const authorization = `Bearer ${made.status.token}`;
  const review = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const asRobot: Raw = { method: 'POST', anonymous: true, headers: { ...headers, authorization }, body: '{}' };
  const { body: self } = await fetchJson(target, review, asRobot);
  assert.equal(self.status.userInfo.username, 'system:serviceaccount:default:robot');
  const [header, payload, signature] = made.status.token.split('.');
  const forged = Buffer.from(payload, 'base64url').toString().replaceAll('robot', 'admin');
  const token = [header, Buffer.from(forged).toString('base64url'), signature].join('.');
  const asForger = { ...asRobot, headers: { ...headers, authorization: `Bearer ${token}` } };
  assert.equal((await fetchJson(target, review, asForger)).status, 401);
  await client.delete('ServiceAccount', 'robot', 'default');
  assert.equal((await fetchJson(target, review, asRobot)).status, 401);
});

test('bodies: YAML is read, nonsense and too much are refused', async (t) => {
  const { target } = await overTls(t);
  const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata:\n  a: b\n';
  const headers = { 'content-type': 'application/yaml' };
  assert.equal((await fetchJson(target, CONFIG_MAPS, { method: 'POST', headers, body: yaml })).status, 201);
  const post = (body: string, type: string) =>
    fetchJson(target, CONFIG_MAPS, { method: 'POST', headers: { 'content-type': type }, body });
  assert.equal((await post('{', 'application/json')).status, 400);
  assert.equal((await post('x', 'text/plain')).status, 415);
  assert.equal((await fetchJson(target, '//')).status, 400);
  assert.equal((await post('not protobuf', 'application/vnd.kubernetes.protobuf')).status, 400);
  assert.equal((await post(`"${'x'.repeat(4 * 1024 * 1024)}"`, 'application/json')).status, 413);
});

test('answers come as tables or bare metadata to who asks, and compressed when long', async (t) => {
  const { target, client } = await overTls(t);
  for (let i = 0; i < 3; i++) await client.create('ConfigMap', cm(`c${i}`));
  const accept = (as: string) => ({
    headers: { accept: `application/json;as=${as};v=v1;g=meta.k8s.io,application/json` },
  });
  const table = await fetchJson(target, CONFIG_MAPS, accept('Table'));
  assert.equal(table.body.kind, 'Table');
  assert.deepEqual(
    table.body.rows.map((row: { cells: unknown[] }) => row.cells[0]),
    ['c0', 'c1', 'c2'],
  );
  assert.match(table.body.metadata.resourceVersion, /^\d+$/);
  const one = await fetchJson(target, `${CONFIG_MAPS}/c1`, accept('Table'));
  assert.equal(one.body.rows[0].object.metadata.name, 'c1');
  const bare = await fetchJson(target, CONFIG_MAPS, accept('PartialObjectMetadataList'));
  assert.deepEqual([bare.body.kind, bare.body.items[0].data], ['PartialObjectMetadataList', undefined]);
  assert.equal((await fetchJson(target, CONFIG_MAPS, { headers: { accept: 'text/html' } })).status, 406);
  await client.create('ConfigMap', { ...cm('long'), data: { a: 'x'.repeat(300_000) } });
  const long = await send(target, CONFIG_MAPS, { headers: { 'accept-encoding': 'gzip' } });
  assert.equal(long.headers['content-encoding'], 'gzip');
  long.destroy();
});

test('410 comes as an answer to a list, and as an event of a watch', async (t) => {
  const { target, client } = await overTls(t, { history: { keepRevisions: 5 } });
  await client.create('ConfigMap', cm('a'));
  for (let i = 0; i < 30; i++) await client.patch('ConfigMap', cm('a').metadata, { data: { i: String(i) } });
  const list = await fetchJson(target, `${CONFIG_MAPS}?resourceVersion=2&resourceVersionMatch=Exact`);
  assert.deepEqual([list.status, list.body.reason], [410, 'Expired']);
  const watch = await fetchJson(target, `${CONFIG_MAPS}?watch=true&resourceVersion=2`);
  assert.equal(watch.status, 200);
  assert.deepEqual([watch.body.type, watch.body.object.code, watch.body.object.reason], ['ERROR', 410, 'Expired']);
});

test('a watch ends when its time is over, with a bookmark; the old path of watches still works', async (t) => {
  const { target, client } = await overTls(t);
  await client.create('ConfigMap', cm('a'));
  const query = 'resourceVersion=0&timeoutSeconds=1&allowWatchBookmarks=true';
  const { text } = await fetchText(target, `/api/v1/watch/namespaces/default/configmaps?${query}`);
  const events = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    events.map((event) => event.type),
    ['ADDED', 'BOOKMARK'],
  );
});

test('a watcher that reads nothing does not keep the server from others, nor does it hold events', async (t) => {
  const { server, target } = await overTls(t, { history: { keepRevisions: 50 } });
  const stuck = await send(target, `${CONFIG_MAPS}?watch=true&resourceVersion=0`);
  stuck.pause();
  const direct = new Client(server.transport);
  await direct.create('ConfigMap', cm('a'));
  const data = { a: 'x'.repeat(200_000) };
  for (let i = 0; i < 200; i++) await direct.patch('ConfigMap', cm('a').metadata, { data: { ...data, i: String(i) } });
  const lines = Buffer.concat(await stuck.toArray())
    .toString()
    .trim()
    .split('\n');
  const last = JSON.parse(lines.at(-1)!);
  assert.deepEqual([last.type, last.object.code], ['ERROR', 410]);
  assert.ok(lines.length < 200, `${lines.length} events were sent`);
});

test('an informer resumes after the server was restarted, without a new list', async (t) => {
  const stateDir = temporaryDirectory(t);
  const options = { ...TEST_API_OPTIONS, ...LISTEN, stateDir };
  const first = await startApiServer(options);
  const transport = new HttpsTransport(await targetOf(t, first));
  const lists: string[] = [];
  const counting = {
    request: (...args: Parameters<typeof transport.request>) => {
      lists.push(args[0].path);
      return transport.request(...args);
    },
    watch: transport.watch.bind(transport),
    close: () => transport.close(),
  };
  const informer = createInformer(new Client(counting), 'ConfigMap');
  t.after(() => {
    informer.close();
    transport.close();
  });
  await informer.synced;
  await new Client(first.transport).create('ConfigMap', cm('before'));
  await first.close();
  const second = await startApiServer({ ...options, listen: [{ host: '127.0.0.1', port: first.port }] });
  t.after(() => second.close());
  const heard = Promise.withResolvers<void>();
  informer.onChange(({ object }) => object.metadata.name === 'after' && heard.resolve());
  await new Client(second.transport).create('ConfigMap', cm('after'));
  await heard.promise;
  assert.deepEqual([...informer.list()].map((object) => object.metadata.name).sort(), ['after', 'before']);
  assert.equal(lists.length, 1);
});

test('a socket that was bound elsewhere is adopted', async (t) => {
  const fd = listenOn(openSocket('inet', 'stream'), '127.0.0.1', 0);
  const server = await startTestApi(t, { listen: [{ host: '127.0.0.1', port: 0 }, { fd }] });
  const target = await targetOf(t, server);
  const [inode] = /\d+/.exec(readlinkSync(`/proc/self/fd/${fd}`)) ?? [];
  const line = readFileSync('/proc/self/net/tcp', 'utf8')
    .split('\n')
    .find((each) => each.includes(` ${inode} `));
  const port = Number.parseInt(line!.trim().split(/\s+/)[1]!.split(':')[1]!, 16);
  assert.notEqual(port, server.port);
  assert.equal((await fetchJson({ ...target, server: `https://127.0.0.1:${port}` }, '/version')).status, 200);
});
