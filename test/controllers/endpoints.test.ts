// EndpointSlices and Endpoints against the embedded API server, for Services and pods as users write them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Draft, EndpointSlice, Pod, Service } from '../../src/objects/types.ts';
import { deployment, startCluster, type TestCluster } from './cluster.ts';

function service(spec: Partial<Service['spec']>): Draft<Service> {
  return { metadata: { name: 'web', namespace: 'default', labels: { tier: 'front' } }, spec };
}

function pod(name: string, containerPort: number, spec: Partial<Pod['spec']> = {}): Draft<Pod> {
  const containers = [{ name: 'web', image: 'web:1', ports: [{ name: 'http', containerPort, protocol: 'TCP' }] }];
  return { metadata: { name, namespace: 'default', labels: { app: 'web' } }, spec: { containers, ...spec } };
}

async function slices(cluster: TestCluster, name = 'web'): Promise<EndpointSlice[]> {
  const all = await cluster.list('EndpointSlice');
  return all.filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name);
}

const portsAndPods = (all: readonly EndpointSlice[]) =>
  all
    .map(({ ports, endpoints }) => [ports?.[0]?.port, ...(endpoints ?? []).map((e) => e.targetRef!.name!).sort()])
    .sort();

test('a named targetPort that differs from pod to pod makes one slice for each number', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1', { labels: { 'topology.kubernetes.io/zone': 'z1' } });
  cluster.runKubelets();
  const ports = [{ name: 'http', port: 80, targetPort: 'http' as unknown as number }];
  await cluster.client.create(
    'Service',
    service({ selector: { app: 'web' }, ports: ports as Service['spec']['ports'] }),
  );
  await cluster.until('an empty slice stands for it', async () => (await slices(cluster)).length === 1);
  await Promise.all([
    cluster.client.create('Pod', pod('a', 8080)),
    cluster.client.create('Pod', pod('b', 8080)),
    cluster.client.create('Pod', pod('c', 9090)),
  ]);
  const found = await cluster.until('all three are endpoints', async () => {
    const all = await slices(cluster);
    const ready = all.flatMap(({ endpoints }) => endpoints ?? []).filter(({ conditions }) => conditions?.ready);
    return ready.length === 3 && all;
  });
  assert.deepEqual(portsAndPods(found), [
    [8080, 'a', 'b'],
    [9090, 'c'],
  ]);
  const { metadata, addressType, endpoints } = found.find(({ ports: [port] = [] }) => port?.port === 9090)!;
  assert.equal(addressType, 'IPv4');
  assert.deepEqual(metadata.labels, {
    tier: 'front',
    'kubernetes.io/service-name': 'web',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  });
  assert.deepEqual(
    metadata.ownerReferences?.map(({ kind, name }) => [kind, name]),
    [['Service', 'web']],
  );
  const { addresses, targetRef, ...rest } = endpoints![0]!;
  assert.equal(targetRef?.name, 'c');
  assert.match(addresses[0]!, /^10\.244\./);
  assert.deepEqual(rest, {
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: 'n1',
    zone: 'z1',
  });
  const legacy = await cluster.client.get('Endpoints', 'web', 'default');
  assert.deepEqual(
    legacy.subsets?.map(({ addresses: ready, ports: [port] = [] }) => [port?.port, ready?.length]).sort(),
    [
      [8080, 2],
      [9090, 1],
    ],
  );
  await cluster.client.delete('Service', 'web', 'default');
  await cluster.until('nothing is left of it', async () => {
    const left = (await cluster.list('Endpoints')).filter(({ metadata: { name } }) => name === 'web');
    return (await slices(cluster)).length + left.length === 0;
  });
});

test('a pod is first not ready, then ready, then serving while it terminates, then gone', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  const history: string[] = [];
  cluster.client.watch('EndpointSlice', { namespace: 'default' }, ({ object }) => {
    const [endpoint] = (object as EndpointSlice).endpoints ?? [];
    const { ready, serving, terminating } = endpoint?.conditions ?? {};
    const state = endpoint ? `ready ${ready}, serving ${serving}, terminating ${terminating}` : 'none';
    if (history.at(-1) !== state) history.push(state);
  });
  await cluster.client.create('Service', service({ selector: { app: 'web' }, ports: [{ port: 80 }] }));
  await cluster.client.create('Pod', pod('a', 80));
  await cluster.until('it is bound', async () => (await cluster.list('Pod'))[0]?.spec.nodeName);
  const target = { name: 'a', namespace: 'default', subresource: 'status' };
  const conditions = (status: string) => [{ type: 'Ready', status, lastTransitionTime: '2026-01-01T00:00:00Z' }];
  const status = { phase: 'Running', podIP: '10.244.0.9', podIPs: [{ ip: '10.244.0.9' }] };
  await cluster.client.patch('Pod', target, { status: { ...status, conditions: conditions('False') } });
  await cluster.until('not ready', () => history.length === 2);
  await cluster.client.patch('Pod', target, { status: { conditions: conditions('True') } });
  await cluster.until('ready', () => history.length === 3);
  await cluster.client.delete('Pod', 'a', 'default');
  await cluster.until('terminating', () => history.length === 4);
  await cluster.client.delete('Pod', 'a', 'default', { gracePeriodSeconds: 0 });
  await cluster.until('gone', () => history.length === 5);
  assert.deepEqual(history, [
    'none',
    'ready false, serving false, terminating false',
    'ready true, serving true, terminating false',
    'ready false, serving true, terminating true',
    'none',
  ]);
});

test('a headless Service publishes hostnames, and addresses that are not ready when it asks for them', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  cluster.runKubelets({ ready: () => false });
  const spec = { clusterIP: 'None', selector: { app: 'web' }, publishNotReadyAddresses: true };
  await cluster.client.create('Service', service(spec));
  await cluster.client.create('Pod', pod('a', 80, { hostname: 'first', subdomain: 'web' }));
  await cluster.until('it is bound', async () => (await cluster.list('Pod'))[0]?.spec.nodeName);
  const status = { phase: 'Running', podIP: '10.244.0.9', podIPs: [{ ip: '10.244.0.9' }] };
  await cluster.client.patch('Pod', { name: 'a', namespace: 'default', subresource: 'status' }, { status });
  const [slice] = await cluster.until('it is an endpoint', async () => {
    const all = await slices(cluster);
    return all[0]?.endpoints?.length === 1 && all;
  });
  assert.equal(slice!.metadata.labels!['service.kubernetes.io/headless'], '');
  const [endpoint] = slice!.endpoints!;
  assert.equal(endpoint!.hostname, 'first');
  assert.deepEqual(endpoint!.conditions, { ready: true, serving: false, terminating: false });
});

test('250 pods fill three slices, and one pod less changes one slice', async () => {
  await using cluster = await startCluster();
  for (let i = 1; i <= 3; i++) await cluster.addNode(`n${i}`, { cpu: '64' });
  cluster.runKubelets();
  await cluster.client.create('Service', service({ selector: { app: 'web' }, ports: [{ port: 80 }] }));
  await cluster.client.create('Deployment', deployment('web', 250));
  const full = await cluster.until('250 are ready', async () => {
    const all = await slices(cluster);
    const ready = all.flatMap(({ endpoints }) => endpoints ?? []).filter(({ conditions }) => conditions?.ready);
    return ready.length === 250 && all;
  });
  assert.equal(full.length, 3);
  assert.ok(full.every(({ endpoints }) => endpoints!.length <= 100));
  await cluster.client.patch('Deployment', { name: 'web', namespace: 'default' }, { spec: { replicas: 249 } });
  const after = await cluster.until('249 are left', async () => {
    const all = await slices(cluster);
    return all.flatMap(({ endpoints }) => endpoints ?? []).length === 249 && all;
  });
  const versions = new Map(full.map(({ metadata }) => [metadata.uid, metadata.resourceVersion]));
  const changed = after.filter(({ metadata }) => versions.get(metadata.uid) !== metadata.resourceVersion);
  assert.equal(changed.length, 1);
});

test('Endpoints that a user writes for a Service without a selector are mirrored to slices of both families', async () => {
  await using cluster = await startCluster();
  await cluster.client.create('Service', service({ ports: [{ port: 5432 }] }));
  const addresses = [{ ip: '192.0.2.7' }, { ip: '2001:db8::7' }];
  const metadata = { name: 'web', namespace: 'default' };
  await cluster.client.create('Endpoints', { metadata, subsets: [{ addresses, ports: [{ port: 5432 }] }] });
  const mirrored = await cluster.until('two slices', async () => {
    const all = await slices(cluster);
    return all.length === 2 && all;
  });
  const found = mirrored.map(({ addressType, endpoints, ports }) => [
    addressType,
    endpoints![0]!.addresses[0],
    ports![0]!.port,
  ]);
  assert.deepEqual(found.sort(), [
    ['IPv4', '192.0.2.7', 5432],
    ['IPv6', '2001:db8::7', 5432],
  ]);
  const [slice] = mirrored;
  assert.equal(
    slice!.metadata.labels!['endpointslice.kubernetes.io/managed-by'],
    'endpointslicemirroring-controller.k8s.io',
  );
  await cluster.client.delete('Endpoints', 'web', 'default');
  await cluster.until('they go with their original', async () => (await slices(cluster)).length === 0);
});

test('endpoints say whom they are for, as trafficDistribution wishes, and follow the zone of their node', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1', { labels: { 'topology.kubernetes.io/zone': 'z1' } });
  cluster.runKubelets();
  const hints = (expected: unknown) =>
    cluster.until(`hints ${JSON.stringify(expected)}`, async () => {
      const [endpoint] = (await slices(cluster)).flatMap(({ endpoints }) => endpoints ?? []);
      return endpoint?.conditions?.ready && isDeepStrictEqual(endpoint.hints, expected);
    });
  const wish = (trafficDistribution: string | null) =>
    cluster.client.patch('Service', { name: 'web', namespace: 'default' }, { spec: { trafficDistribution } });
  await cluster.client.create('Service', service({ selector: { app: 'web' }, ports: [{ port: 80 }] }));
  await cluster.client.create('Pod', pod('a', 8080));
  await hints(undefined);
  await wish('PreferClose');
  await hints({ forZones: [{ name: 'z1' }] });
  await wish('PreferSameNode');
  await hints({ forNodes: [{ name: 'n1' }], forZones: [{ name: 'z1' }] });
  const labels = { 'topology.kubernetes.io/zone': 'z2' };
  await cluster.client.patch('Node', { name: 'n1' }, { metadata: { labels } });
  await hints({ forNodes: [{ name: 'n1' }], forZones: [{ name: 'z2' }] });
  await wish(null);
  await hints(undefined);
});

test('topology-mode Auto: hints by the CPUs of the zones, none where that cannot be, and events that say so', async () => {
  await using cluster = await startCluster();
  const zone = (name: string) => ({ labels: { 'topology.kubernetes.io/zone': name } });
  await cluster.addNode('n1', zone('z1'));
  await cluster.addNode('n2', zone('z2'));
  cluster.runKubelets();
  const annotations = { 'service.kubernetes.io/topology-mode': 'Auto' };
  const wanted = service({ selector: { app: 'web' }, ports: [{ port: 80 }], trafficDistribution: 'PreferSameNode' });
  await cluster.client.create('Service', { ...wanted, metadata: { ...wanted.metadata, annotations } });
  /** Zone and zones of its hints, of each endpoint that is ready. */
  const hints = (...expected: string[]) =>
    cluster.until(`hints ${expected}`, async () => {
      const ready = (await slices(cluster))
        .flatMap(({ endpoints = [] }) => endpoints)
        .filter((e) => e.conditions?.ready);
      const found = ready.map((e) => `${e.zone} ${e.hints?.forZones?.map(({ name }) => name) ?? 'all'}`);
      return isDeepStrictEqual(found.sort(), expected);
    });
  const said = (reason: string, message: RegExp) =>
    cluster.until(reason, async () =>
      (await cluster.list('Event')).some((event) => event.reason === reason && message.test(event.message ?? '')),
    );
  await cluster.client.create('Pod', pod('a', 80, { nodeName: 'n1' }));
  await hints('z1 all');
  await said(
    'TopologyAwareHintsDisabled',
    /^Insufficient number of endpoints \(1 endpoints, 2 zones\), addressType: IPv4$/,
  );
  await cluster.client.create('Pod', pod('b', 80, { nodeName: 'n1' }));
  await hints('z1 z1', 'z1 z2');
  await said('TopologyAwareHintsEnabled', /^Topology Aware Hints has been enabled, addressType: IPv4$/);
  const labels = { 'topology.kubernetes.io/zone': 'z1' };
  await cluster.client.patch('Node', { name: 'n2' }, { metadata: { labels } });
  await hints('z1 all', 'z1 all');
  await said('TopologyAwareHintsDisabled', /^Nodes only ready in one zone/);
  const none = { 'service.kubernetes.io/topology-mode': null };
  await cluster.client.patch('Service', { name: 'web', namespace: 'default' }, { metadata: { annotations: none } });
  await cluster.until('trafficDistribution counts again', async () =>
    (await slices(cluster))
      .flatMap(({ endpoints = [] }) => endpoints)
      .every((e) => e.hints?.forNodes?.[0]?.name === 'n1'),
  );
});
