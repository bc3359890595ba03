// Load balancer addresses against the embedded API server: pools, requests, exhaustion, release, restart.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusError } from '../../src/objects/status.ts';
import type { Service } from '../../src/objects/types.ts';
import { startCluster, type TestCluster } from '../controllers/cluster.ts';

const OPTIONS = { loadBalancer: { addresses: ['172.30.0.200-172.30.0.202'], reserved: ['172.30.0.201'] } };
const FINALIZER = 'service.kubernetes.io/load-balancer-cleanup';

async function create({ client }: TestCluster, name: string, spec: object = {}, annotations = {}): Promise<void> {
  await client.create('Service', {
    metadata: { name, namespace: 'default', annotations },
    spec: { type: 'LoadBalancer', selector: { app: name }, ports: [{ port: 80 }], ...spec } as Service['spec'],
  });
}

const ipsOf = ({ status }: Service) => (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip);

function hasAddress(cluster: TestCluster, name: string, ip: string): Promise<Service> {
  return cluster.until(`${name} has ${ip}`, async () => {
    const service = await cluster.client.get('Service', name, 'default');
    return ipsOf(service).includes(ip) && service;
  });
}

function condition(cluster: TestCluster, name: string, reason: string) {
  return cluster.until(`${name} says ${reason}`, async () => {
    const { status } = await cluster.client.get('Service', name, 'default');
    return status?.conditions?.find((each) => each.type === 'podwire.io/AddressAssigned' && each.reason === reason);
  });
}

test('a Service gets an address of the default pool, with finalizer, condition, ipMode and Event', async () => {
  await using cluster = await startCluster(OPTIONS);
  await create(cluster, 'web');
  const web = await hasAddress(cluster, 'web', '172.30.0.200');
  assert.deepEqual(web.status?.loadBalancer, { ingress: [{ ip: '172.30.0.200', ipMode: 'VIP' }] });
  assert.deepEqual(web.metadata.finalizers, [FINALIZER]);
  const said = await condition(cluster, 'web', 'Assigned');
  assert.equal(said.message, '172.30.0.200 of LBPool default');
  const event = await cluster.until('an Event', async () =>
    (await cluster.list('Event')).find(({ reason }) => reason === 'AddressAssigned'),
  );
  assert.equal(event.involvedObject.name, 'web');
  await cluster.until('the pool is counted', async () => {
    const { status } = await cluster.client.get('LBPool', 'default');
    return status?.assigned === 1 && status.free === 1;
  });
});

test('an exhausted pool is said on the Service, and one that is given back is given again', async () => {
  await using cluster = await startCluster(OPTIONS);
  await create(cluster, 'a');
  await hasAddress(cluster, 'a', '172.30.0.200');
  await create(cluster, 'b');
  await hasAddress(cluster, 'b', '172.30.0.202');
  await create(cluster, 'c');
  const exhausted = await condition(cluster, 'c', 'PoolExhausted');
  assert.equal(exhausted.status, 'False');
  assert.match(exhausted.message, /kubectl edit lbpool default/);
  await cluster.until('an Event', async () =>
    (await cluster.list('Event')).some(({ reason, type }) => reason === 'AllocationFailed' && type === 'Warning'),
  );
  await create(cluster, 'd');
  await condition(cluster, 'd', 'PoolExhausted');
  await cluster.client.patch('Service', { name: 'd', namespace: 'default' }, { spec: { type: 'NodePort' } });
  await cluster.until('nothing is said of it any more', async () => {
    const { status } = await cluster.client.get('Service', 'd', 'default');
    return !status?.conditions?.length;
  });
  await cluster.client.delete('Service', 'a', 'default');
  await hasAddress(cluster, 'c', '172.30.0.200');
  await cluster.until('a is gone', async () =>
    (await cluster.list('Service')).every(({ metadata }) => metadata.name !== 'a'),
  );
});

test('a change of type gives the address back; another class is left alone', async () => {
  await using cluster = await startCluster(OPTIONS);
  await create(cluster, 'web');
  await hasAddress(cluster, 'web', '172.30.0.200');
  await create(cluster, 'foreign', { loadBalancerClass: 'example.com/cloud' });
  await create(cluster, 'ours', { loadBalancerClass: 'podwire.io/l2' });
  await hasAddress(cluster, 'ours', '172.30.0.202');
  await cluster.client.patch('Service', { name: 'web', namespace: 'default' }, { spec: { type: 'ClusterIP' } });
  await cluster.until('nothing is left of it', async () => {
    const { status, metadata } = await cluster.client.get('Service', 'web', 'default');
    return ipsOf({ status } as Service).length === 0 && !metadata.finalizers?.length && !status?.conditions?.length;
  });
  await create(cluster, 'next');
  await hasAddress(cluster, 'next', '172.30.0.200');
  const foreign = await cluster.client.get('Service', 'foreign', 'default');
  assert.equal(foreign.metadata.finalizers, undefined);
  assert.deepEqual(foreign.status?.loadBalancer, {});
});

test('a pool that shrinks takes no address from a Service that has it; allocateLoadBalancerNodePorts false gives no ports', async () => {
  await using cluster = await startCluster(OPTIONS);
  await create(cluster, 'web', { allocateLoadBalancerNodePorts: false });
  const web = await hasAddress(cluster, 'web', '172.30.0.200');
  assert.equal(web.spec.ports?.[0]?.nodePort, undefined);
  await cluster.client.patch('LBPool', { name: 'default' }, { spec: { addresses: ['172.30.0.202'] } });
  await cluster.until('an Event', async () =>
    (await cluster.list('Event')).some(({ reason }) => reason === 'AddressOutsidePools'),
  );
  assert.deepEqual(ipsOf(await cluster.client.get('Service', 'web', 'default')), ['172.30.0.200']);
  await create(cluster, 'next');
  await hasAddress(cluster, 'next', '172.30.0.202');
});

test('a pool that comes later serves who waits, and the request of a family that nobody has is kept in mind', async () => {
  await using cluster = await startCluster({});
  await create(cluster, 'web');
  await condition(cluster, 'web', 'NoPool');
  await cluster.client.create('LBPool', { metadata: { name: 'late' }, spec: { addresses: ['10.9.0.5'] } });
  await hasAddress(cluster, 'web', '10.9.0.5');
});

test('a pool says that Services can have its addresses, that another has some first, or that all are taken by nodes', async () => {
  await using cluster = await startCluster(OPTIONS);
  const { client, until } = cluster;
  const pool = (name: string, spec: object) => client.create('LBPool', { metadata: { name }, spec } as never);
  const says = (name: string, reason: string) =>
    until(`${name} says ${reason}`, async () => {
      const { status } = await client.get('LBPool', name);
      return status?.conditions?.find((each) => each.type === 'Accepted' && each.reason === reason);
    });
  assert.equal((await says('default', 'Accepted')).status, 'True');
  await pool('first', { addresses: ['10.9.0.0/30', '172.30.0.202'], priority: 5 });
  const overlaps = await says('default', 'Overlaps');
  const text = '172.30.0.200-172.30.0.202 overlaps 172.30.0.202 of LBPool first, which is tried first';
  assert.deepEqual([overlaps.status, overlaps.message], ['True', text]);
  await says('first', 'Accepted');
  await pool('useless', { addresses: ['172.30.0.201'] });
  assert.equal((await says('useless', 'Reserved')).status, 'False');
  await client.delete('LBPool', 'first');
  await says('default', 'Accepted');
  const { metadata, status } = await client.get('LBPool', 'default');
  // Once it is said, nothing is written again.
  await client.create('LBPool', { metadata: { name: 'other' }, spec: { addresses: ['10.9.0.5'] } });
  await says('other', 'Accepted');
  const after = await client.get('LBPool', 'default');
  assert.deepEqual([after.metadata.resourceVersion, after.status], [metadata.resourceVersion, status]);
});

test('a pool that makes no sense is refused field by field', async () => {
  await using cluster = await startCluster({});
  const addresses = ['10.0.0.9-10.0.0.1', '10.1.0.0/30', '10.1.0.2', 'web', '127.0.0.1'];
  const spec = { addresses, namespaces: ['Shop'], serviceSelector: { matchLabels: { 'a b': 'c' } } };
  const refusal = await cluster.client.create('LBPool', { metadata: { name: 'bad' }, spec }).then(
    () => assert.fail('it was taken'),
    (error: unknown) => error,
  );
  assert.ok(refusal instanceof StatusError && refusal.code === 422);
  const fields = refusal.status.details?.causes?.map(({ field }) => field);
  assert.deepEqual(
    new Set(fields),
    new Set([
      'spec.addresses[0]',
      'spec.addresses[2]',
      'spec.addresses[3]',
      'spec.addresses[4]',
      'spec.namespaces[0]',
      'spec.serviceSelector.matchLabels',
    ]),
  );
  await assert.rejects(
    cluster.client.create('LBPool', { metadata: { name: 'none' }, spec: { addresses: [] } }),
    /spec.addresses: Required value/,
  );
});
