// Room api: tests of the verbs, as a client in the same thread sees them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestApi } from '../../test/api/server.ts';
import { Client } from '../client/client.ts';
import type { ApiRequest } from '../client/transport.ts';
import type { Status } from '../objects/status.ts';
import type { Deployment, Draft, Pod } from '../objects/types.ts';

type Body = Status & {
  items: { metadata: { name: string } }[];
  metadata: { continue?: string; resourceVersion: string };
};

const cm = (name: string, labels = {}) => ({ metadata: { name, namespace: 'default', labels }, data: { a: '1' } });

const deployment: Draft<Deployment> = {
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'web', image: 'host', ports: [{ containerPort: 80 }] }] },
    },
  },
};

const pod = (extra: object = {}): Draft<Pod> => ({
  metadata: { name: 'p', namespace: 'default' },
  spec: { containers: [{ name: 'c', image: 'host' }], ...extra },
});

async function api(t: Parameters<typeof startTestApi>[0], options: Parameters<typeof startTestApi>[1] = {}) {
  const { transport } = await startTestApi(t, options);
  const call = async (request: ApiRequest) => {
    const { status, body } = await transport.request(request);
    return { status, body: body as Body };
  };
  return { client: new Client(transport), transport, call };
}

const get = (path: string, query: Record<string, string> = {}): ApiRequest => ({ method: 'GET', path, query });
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

test('a new object gets its identity from the server', async (t) => {
  const { client } = await api(t);
  const made = await client.create('ConfigMap', {
    metadata: { generateName: 'settings-', namespace: 'default', uid: 'mine', generation: 7 },
  });
  assert.match(made.metadata.name, /^settings-[a-z0-9]{5}$/);
  assert.match(made.metadata.uid, /^[0-9a-f-]{36}$/);
  assert.match(made.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(made.metadata.generation, undefined);
  assert.deepEqual(await client.get('ConfigMap', made.metadata.name, 'default'), made);
});

test('failures are answered in the words of Kubernetes', async (t) => {
  const { client, call } = await api(t);
  await client.create('ConfigMap', cm('a'));
  const fails = (promise: Promise<unknown>, code: number, message: string | RegExp) =>
    assert.rejects(promise, (error: Error & { code: number }) => {
      if (typeof message === 'string') assert.equal(error.message, message);
      else assert.match(error.message, message);
      assert.equal(error.code, code);
      return true;
    });
  await fails(client.create('ConfigMap', cm('a')), 409, 'configmaps "a" already exists');
  await fails(client.get('Deployment', 'x', 'default'), 404, 'deployments.apps "x" not found');
  await fails(
    client.create('ConfigMap', { metadata: { name: 'a', namespace: 'no' } }),
    404,
    'namespaces "no" not found',
  );
  await fails(
    client.delete('Namespace', 'default'),
    403,
    'namespaces "default" is forbidden: this namespace may not be deleted',
  );
  await fails(
    client.create('Deployment', { ...deployment, spec: {} as Deployment['spec'] }),
    422,
    /^Deployment\.apps "web" is invalid/,
  );
  for (const name of ['a', 'not-there']) {
    await fails(client.patch('ConfigMap', { name, namespace: 'default' }, {}, 'apply'), 415, /server-side apply/);
  }
  const unknown = await call(get('/apis/no.such/v1/things'));
  assert.deepEqual([unknown.status, unknown.body.reason], [404, 'NotFound']);
  const method = await call({ method: 'POST', path: `${CONFIG_MAPS}/a`, body: {} });
  assert.deepEqual([method.status, method.body.reason], [405, 'MethodNotAllowed']);
});

test('a namespace that is going takes in nothing new, and goes when it is finalized', async (t) => {
  const { client } = await api(t);
  const made = await client.create('Namespace', { metadata: { name: 'shop' } });
  assert.deepEqual(made.spec?.finalizers, ['kubernetes']);
  assert.equal(made.metadata.labels?.['kubernetes.io/metadata.name'], 'shop');
  await client.delete('Namespace', 'shop');
  const going = await client.get('Namespace', 'shop');
  assert.equal(going.status?.phase, 'Terminating');
  await assert.rejects(
    client.create('ConfigMap', { metadata: { name: 'a', namespace: 'shop' } }),
    /configmaps "a" is forbidden: unable to create new content in namespace shop because it is being terminated/,
  );
  await client.update('Namespace', { ...going, spec: { finalizers: [] } }, 'finalize');
  await assert.rejects(client.get('Namespace', 'shop'), /not found/);
});

test('an update must be of the newest version; one that changes nothing makes no new version', async (t) => {
  const { client } = await api(t);
  const first = await client.create('ConfigMap', cm('a'));
  const second = await client.update('ConfigMap', { ...first, data: { a: '2' } });
  assert.notEqual(second.metadata.resourceVersion, first.metadata.resourceVersion);
  await assert.rejects(client.update('ConfigMap', { ...first, data: { a: '3' } }), /the object has been modified/);
  const same = await client.update('ConfigMap', structuredClone(second));
  assert.equal(same.metadata.resourceVersion, second.metadata.resourceVersion);
});

test('the generation counts changes of the spec; status and spec are written apart', async (t) => {
  const { client } = await api(t);
  const made = await client.create('Deployment', { ...deployment, status: { replicas: 9 } });
  assert.deepEqual([made.metadata.generation, made.status], [1, {}]);
  const target = { name: 'web', namespace: 'default' };
  const scaled = await client.patch('Deployment', target, { spec: { replicas: 3 }, status: { replicas: 9 } });
  assert.deepEqual([scaled.metadata.generation, scaled.spec.replicas, scaled.status], [2, 3, {}]);
  const status = { spec: { replicas: 7 }, status: { replicas: 3 } };
  const told = await client.patch('Deployment', { ...target, subresource: 'status' }, status);
  assert.deepEqual([told.metadata.generation, told.spec.replicas, told.status], [2, 3, { replicas: 3 }]);
  const labelled = await client.patch('Deployment', target, { metadata: { labels: { a: 'b' } } });
  assert.equal(labelled.metadata.generation, 2);
});

test('a scale is a window on the replicas', async (t) => {
  const { client, call } = await api(t);
  await client.create('Deployment', deployment);
  const path = '/apis/apps/v1/namespaces/default/deployments/web/scale';
  const headers = { 'content-type': 'application/merge-patch+json' };
  const { body } = await call({ method: 'PATCH', path, headers, body: { spec: { replicas: 5 } } });
  assert.deepEqual((body as unknown as { spec: object }).spec, { replicas: 5 });
  assert.deepEqual((body.status as unknown as { selector: string }).selector, 'app=web');
  assert.equal((await client.get('Deployment', 'web', 'default')).spec.replicas, 5);
});

test('a dry run answers as if and changes nothing', async (t) => {
  const { client, call } = await api(t);
  const query = { dryRun: 'All' };
  const { status, body } = await call({ method: 'POST', path: CONFIG_MAPS, query, body: { ...cm('a') } });
  assert.equal(status, 201);
  assert.equal(body.metadata.resourceVersion, undefined);
  await assert.rejects(client.get('ConfigMap', 'a', 'default'), /not found/);
  const { metadata } = await client.create('ConfigMap', cm('a'));
  await call({ method: 'DELETE', path: `${CONFIG_MAPS}/a`, query });
  assert.equal((await client.get('ConfigMap', 'a', 'default')).metadata.uid, metadata.uid);
});

test('finalizers hold an object back; foreground and orphan deletion are finalizers too', async (t) => {
  const { client } = await api(t);
  await client.create('ConfigMap', { metadata: { name: 'held', namespace: 'default', finalizers: ['x.io/y'] } });
  await client.delete('ConfigMap', 'held', 'default', { propagationPolicy: 'Foreground' });
  const held = await client.get('ConfigMap', 'held', 'default');
  assert.deepEqual(held.metadata.finalizers, ['x.io/y', 'foregroundDeletion']);
  assert.ok(held.metadata.deletionTimestamp);
  await client.patch('ConfigMap', { name: 'held', namespace: 'default' }, { metadata: { finalizers: null } });
  await assert.rejects(client.get('ConfigMap', 'held', 'default'), /not found/);
  await client.create('ConfigMap', cm('orphaning'));
  await client.delete('ConfigMap', 'orphaning', 'default', { propagationPolicy: 'Orphan' });
  assert.deepEqual((await client.get('ConfigMap', 'orphaning', 'default')).metadata.finalizers, ['orphan']);
});

test('a pod on a node is given its grace, and the agent takes it away', async (t) => {
  const { client } = await api(t);
  await client.create('Pod', pod());
  const binding = { metadata: { namespace: 'default' }, target: { kind: 'Node', name: 'n1' } };
  await client.create('Pod', binding as unknown as Draft<Pod>, { name: 'p', subresource: 'binding' });
  const bound = await client.get('Pod', 'p', 'default');
  assert.equal(bound.spec.nodeName, 'n1');
  assert.equal(bound.status?.conditions?.[0]?.type, 'PodScheduled');
  await assert.rejects(
    client.create('Pod', binding as unknown as Draft<Pod>, { name: 'p', subresource: 'binding' }),
    /is already assigned to node "n1"/,
  );
  await client.delete('Pod', 'p', 'default');
  const going = await client.get('Pod', 'p', 'default');
  assert.equal(going.metadata.deletionGracePeriodSeconds, 30);
  await client.delete('Pod', 'p', 'default', { gracePeriodSeconds: 5 });
  assert.equal((await client.get('Pod', 'p', 'default')).metadata.deletionGracePeriodSeconds, 5);
  await client.delete('Pod', 'p', 'default', { gracePeriodSeconds: 0, preconditions: { uid: going.metadata.uid } });
  await assert.rejects(client.get('Pod', 'p', 'default'), /not found/);
});

test('a pod on no node goes at once, unless another one was meant', async (t) => {
  const { client } = await api(t);
  await client.create('Pod', pod());
  await assert.rejects(
    client.delete('Pod', 'p', 'default', { preconditions: { uid: 'other' } }),
    /Precondition failed/,
  );
  await client.delete('Pod', 'p', 'default');
  await assert.rejects(client.get('Pod', 'p', 'default'), /not found/);
});

test('pods get their account, tolerations, priority and class', async (t) => {
  const { client } = await api(t);
  const resources = { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m' } };
  const { spec, status } = await client.create('Pod', pod({ containers: [{ name: 'c', image: 'host', resources }] }));
  assert.deepEqual(
    [spec.serviceAccountName, spec.priority, status?.phase, status?.qosClass],
    ['default', 0, 'Pending', 'Guaranteed'],
  );
  assert.deepEqual(
    spec.tolerations?.map((each) => `${each.key} ${each.tolerationSeconds}`),
    ['node.kubernetes.io/not-ready 300', 'node.kubernetes.io/unreachable 300'],
  );
});

test('pages are of one revision, until that is compacted; then the rest can be had as it is now', async (t) => {
  const { client, call } = await api(t, { history: { keepRevisions: 20 } });
  for (const name of ['a', 'b', 'c', 'd', 'e']) await client.create('ConfigMap', cm(name));
  const names = (body: Body) => body.items.map((item) => item.metadata.name).join('');
  const first = await call(get(CONFIG_MAPS, { limit: '2' }));
  assert.equal(names(first.body), 'ab');
  assert.equal((first.body.metadata as { remainingItemCount?: number }).remainingItemCount, 3);
  await client.delete('ConfigMap', 'c', 'default');
  const token = { limit: '2', continue: first.body.metadata.continue! };
  const second = await call(get(CONFIG_MAPS, token));
  assert.equal(names(second.body), 'cd');
  assert.equal(second.body.metadata.resourceVersion, first.body.metadata.resourceVersion);
  for (let i = 0; i < 30; i++) await client.patch('ConfigMap', cm('a').metadata, { data: { i: String(i) } });
  const late = await call(get(CONFIG_MAPS, token));
  assert.deepEqual([late.status, late.body.reason], [410, 'Expired']);
  const fresh = await call(get(CONFIG_MAPS, { limit: '2', continue: late.body.metadata.continue! }));
  assert.equal(names(fresh.body), 'de');
});

test('a list can be asked for as of a revision', async (t) => {
  const { client, call } = await api(t, { history: { keepRevisions: 20 } });
  const a = await client.create('ConfigMap', cm('a'));
  await client.create('ConfigMap', cm('b'));
  const at = (resourceVersion: string, resourceVersionMatch?: string) =>
    call(get(CONFIG_MAPS, { resourceVersion, ...(resourceVersionMatch && { resourceVersionMatch }) }));
  assert.equal((await at(a.metadata.resourceVersion, 'Exact')).body.items.length, 1);
  assert.equal((await at(a.metadata.resourceVersion, 'NotOlderThan')).body.items.length, 2);
  assert.equal((await at('0')).body.items.length, 2);
  assert.equal((await at('999999')).status, 504);
  assert.equal((await at('', 'Exact')).status, 400);
  for (let i = 0; i < 30; i++) await client.patch('ConfigMap', cm('a').metadata, { data: { i: String(i) } });
  assert.equal((await at(a.metadata.resourceVersion, 'Exact')).status, 410);
});

test('selectors choose in lists and in deletions of many', async (t) => {
  const { client, call } = await api(t);
  await client.create('ConfigMap', cm('a', { tier: 'x' }));
  await client.create('ConfigMap', cm('b', { tier: 'y' }));
  const listed = await client.list('ConfigMap', { labelSelector: 'tier in (x, z)' });
  assert.deepEqual(
    listed.items.map((item) => item.metadata.name),
    ['a'],
  );
  const byName = await client.list('ConfigMap', { fieldSelector: 'metadata.name=b' });
  assert.deepEqual(
    byName.items.map((item) => item.metadata.name),
    ['b'],
  );
  await call({ method: 'DELETE', path: CONFIG_MAPS, query: { labelSelector: 'tier=x' } });
  const left = await client.list('ConfigMap', { namespace: 'default' });
  assert.deepEqual(
    left.items.map((item) => item.metadata.name),
    ['b'],
  );
});

test('a watch from a revision that is gone, or not yet there, is refused with 410', async (t) => {
  const { client } = await api(t, { history: { keepRevisions: 5 } });
  await client.create('ConfigMap', cm('a'));
  for (let i = 0; i < 30; i++) await client.patch('ConfigMap', cm('a').metadata, { data: { i: String(i) } });
  for (const resourceVersion of ['1', '99999']) {
    const stream = client.watch('ConfigMap', { resourceVersion }, () => assert.fail('no event was expected'));
    await assert.rejects(stream.done, { code: 410 });
  }
});

test('a watch with initial events says where they end', async (t) => {
  const { client } = await api(t);
  await client.create('ConfigMap', cm('a'));
  const seen: string[] = [];
  const ended = Promise.withResolvers<void>();
  const options = { sendInitialEvents: true, allowWatchBookmarks: true };
  const stream = client.watch('ConfigMap', options, ({ type, object }) => {
    const { name, annotations = {} } = (object as Pod).metadata;
    seen.push(`${type} ${name ?? annotations['k8s.io/initial-events-end']}`);
    if (type === 'BOOKMARK') ended.resolve();
  });
  await ended.promise;
  assert.deepEqual(seen, ['ADDED a', 'BOOKMARK true']);
  stream.stop();
  await stream.done;
});

test('the Service of the API server comes back when it is deleted', async (t) => {
  const kubernetesEndpoint = { addresses: ['172.30.0.1'], port: 6443 };
  const { client } = await api(t, { kubernetesEndpoint });
  const slice = await client.get('EndpointSlice', 'kubernetes', 'default');
  assert.deepEqual([slice.endpoints?.[0]?.addresses, slice.ports?.[0]?.port], [['172.30.0.1'], 6443]);
  const before = await client.get('Service', 'kubernetes', 'default');
  const back = Promise.withResolvers<void>();
  const { resourceVersion } = before.metadata;
  const stream = client.watch('Service', { resourceVersion }, ({ type }) => type === 'ADDED' && back.resolve());
  await client.delete('Service', 'kubernetes', 'default');
  await back.promise;
  assert.equal((await client.get('Service', 'kubernetes', 'default')).spec.clusterIP, '10.96.0.1');
  stream.stop();
});
