// Room api: tests of what Services are given: addresses, families and node ports.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startTestApi } from '../../test/api/server.ts';
import { Client } from '../client/client.ts';
import type { Draft, Service } from '../objects/types.ts';

type Spec = Partial<Service['spec']>;

const service = (name: string, spec: Spec = {}): Draft<Service> => ({
  metadata: { name, namespace: 'default' },
  spec: { ports: [{ port: 80, protocol: 'TCP' }], ...spec } as Service['spec'],
});

async function cluster(t: TestContext, options: Parameters<typeof startTestApi>[1] = {}) {
  const client = new Client((await startTestApi(t, options)).transport);
  const create = async (name: string, spec: Spec = {}) => (await client.create('Service', service(name, spec))).spec;
  return { client, create };
}

const refused = (promise: Promise<unknown>, message: RegExp) =>
  assert.rejects(promise, (error: Error & { code: number }) => {
    assert.match(error.message, message);
    assert.equal(error.code, 422);
    return true;
  });

test('a Service gets an address of the range, with its family and policy', async (t) => {
  const { create } = await cluster(t);
  const spec = await create('a');
  assert.match(spec.clusterIP!, /^10\.96\.\d+\.\d+$/);
  assert.deepEqual(
    [spec.clusterIPs, spec.ipFamilies, spec.ipFamilyPolicy],
    [[spec.clusterIP], ['IPv4'], 'SingleStack'],
  );
  assert.notEqual((await create('b')).clusterIP, spec.clusterIP);
});

test('a requested address is honoured, once, and only inside the range', async (t) => {
  const { client, create } = await cluster(t);
  assert.equal((await create('a', { clusterIP: '10.96.0.20' })).clusterIP, '10.96.0.20');
  await refused(
    create('b', { clusterIP: '10.96.0.20' }),
    /spec\.clusterIPs: Invalid value: \["10\.96\.0\.20"\]: failed to allocate IP 10\.96\.0\.20: provided IP is already allocated/,
  );
  await refused(
    create('c', { clusterIP: '10.97.0.1' }),
    /failed to allocate IP 10\.97\.0\.1: the provided network does not match the current range \(10\.96\.0\.0\/16\)/,
  );
  await client.delete('Service', 'a', 'default');
  assert.equal((await create('b', { clusterIP: '10.96.0.20' })).clusterIP, '10.96.0.20');
});

test('the addresses of the API server and of DNS are kept for them', async (t) => {
  const { client, create } = await cluster(t);
  await refused(create('a', { clusterIP: '10.96.0.10' }), /already allocated/);
  await refused(create('a', { clusterIP: '10.96.0.1' }), /already allocated/);
  const dns = service('kube-dns', { clusterIP: '10.96.0.10' });
  const made = await client.create('Service', { ...dns, metadata: { ...dns.metadata, namespace: 'kube-system' } });
  assert.equal(made.spec.clusterIP, '10.96.0.10');
});

test('a small range is used up to its last address, and given out again after a deletion', async (t) => {
  const { client, create } = await cluster(t, { serviceCIDRs: ['10.96.0.0/28'] }); // 16: network, broadcast, kubernetes, DNS
  const given = new Set<string>();
  for (let i = 0; i < 12; i++) given.add((await create(`s${i}`)).clusterIP!);
  assert.equal(given.size, 12);
  await assert.rejects(create('more'), /Internal error occurred: failed to allocate a serviceIP: range is full/);
  const { spec } = await client.get('Service', 's5', 'default');
  await client.delete('Service', 's5', 'default');
  assert.equal((await create('more')).clusterIP, spec.clusterIP);
});

test('node ports: given out, requested, refused, shared by protocols, released', async (t) => {
  const { client, create } = await cluster(t);
  const first = await create('a', { type: 'NodePort' });
  assert.ok(first.ports![0]!.nodePort! >= 30000 && first.ports![0]!.nodePort! <= 32767);
  const dns = [
    { name: 'udp', port: 53, protocol: 'UDP' },
    { name: 'tcp', port: 53, protocol: 'TCP' },
  ];
  const both = (await create('dns', { type: 'NodePort', ports: dns })).ports!;
  assert.equal(both[0]!.nodePort, both[1]!.nodePort);
  const wanting = (nodePort: number): Spec => ({ type: 'NodePort', ports: [{ port: 80, protocol: 'TCP', nodePort }] });
  assert.equal((await create('b', wanting(30500))).ports![0]!.nodePort, 30500);
  await refused(
    create('c', wanting(30500)),
    /spec\.ports\[0\]\.nodePort: Invalid value: 30500: provided port is already allocated/,
  );
  await refused(
    create('c', wanting(80)),
    /provided port is not in the valid range\. The range of valid ports is 30000-32767/,
  );
  await client.patch('Service', { name: 'b', namespace: 'default' }, { spec: { type: 'ClusterIP' } });
  assert.equal((await create('c', wanting(30500))).ports![0]!.nodePort, 30500);
});

test('an update that leaves allocated values out keeps them', async (t) => {
  const { client } = await cluster(t);
  const made = await client.create('Service', service('a', { type: 'NodePort' }));
  const written = { ...made, spec: { type: 'NodePort', ports: [{ port: 80, protocol: 'TCP', targetPort: 8080 }] } };
  const { spec } = await client.update('Service', written as Service);
  assert.equal(spec.clusterIP, made.spec.clusterIP);
  assert.equal(spec.ports![0]!.nodePort, made.spec.ports![0]!.nodePort);
});

test('an address that was given does not change, whichever field asks for it', async (t) => {
  const { client, create } = await cluster(t);
  const { clusterIP } = await create('a');
  const patch = (spec: Spec) => client.patch('Service', { name: 'a', namespace: 'default' }, { spec });
  await refused(patch({ clusterIP: '10.96.3.3' }), /spec\.clusterIPs\[0\]: Invalid value: .*: may not change once set/);
  await refused(patch({ clusterIP: 'None' }), /may not change once set/);
  assert.equal((await patch({ clusterIP: '' })).spec.clusterIP, clusterIP);
});

test('ExternalName and headless Services have no address; a type can change', async (t) => {
  const { client, create } = await cluster(t);
  const external = await create('a', { type: 'ExternalName', externalName: 'example.com', ports: [] });
  assert.deepEqual([external.clusterIP, external.ipFamilies], [undefined, undefined]);
  const headless = await create('b', { clusterIP: 'None' });
  // Without a selector its endpoints may be of any family, whatever the cluster has.
  assert.deepEqual(
    [headless.clusterIP, headless.clusterIPs, headless.ipFamilies],
    ['None', ['None'], ['IPv4', 'IPv6']],
  );
  const selecting = await create('c', { clusterIP: 'None', selector: { app: 'c' } });
  assert.deepEqual([selecting.clusterIPs, selecting.ipFamilies], [['None'], ['IPv4']]);
  const patch = { spec: { type: 'ClusterIP', externalName: null, ports: [{ port: 80 }] } };
  const changed = await client.patch('Service', { name: 'a', namespace: 'default' }, patch);
  assert.match(changed.spec.clusterIP!, /^10\.96\./);
  const back = { spec: { type: 'ExternalName', externalName: 'example.com' } };
  const again = await client.patch('Service', { name: 'a', namespace: 'default' }, back);
  assert.equal(again.spec.clusterIP, undefined);
});

test('dual stack: both families where the cluster has them, refused where it has not', async (t) => {
  const { create } = await cluster(t, { serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'] });
  const dual = await create('a', { ipFamilyPolicy: 'PreferDualStack' });
  assert.deepEqual(dual.ipFamilies, ['IPv4', 'IPv6']);
  assert.match(dual.clusterIPs![1]!, /^fd00:10:96::/);
  const six = await create('b', { ipFamilies: ['IPv6'] });
  assert.match(six.clusterIP!, /^fd00:10:96::/);
  const single = await cluster(t);
  await refused(single.create('a', { ipFamilyPolicy: 'RequireDualStack' }), /not configured for dual-stack/);
  await refused(single.create('a', { ipFamilies: ['IPv6'] }), /not configured on this cluster/);
  assert.deepEqual((await single.create('a', { ipFamilyPolicy: 'PreferDualStack' })).ipFamilies, ['IPv4']);
});
