// Room api: tests of ServiceCIDR and IPAddress objects: every address in use has one, and they say what may be given out.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startTestApi } from '../../test/api/server.ts';
import { Client } from '../client/client.ts';
import type { Draft, IPAddress, Service } from '../objects/types.ts';

const service = (name: string, spec: object = {}) =>
  ({ metadata: { name, namespace: 'default' }, spec: { ports: [{ port: 80 }], ...spec } }) as Draft<Service>;
const address = (name: string): Draft<IPAddress> => ({
  metadata: { name },
  spec: { parentRef: { resource: 'routers', group: 'example.com', name: 'edge' } },
});

async function cluster(t: TestContext, options: Parameters<typeof startTestApi>[1] = {}) {
  const client = new Client((await startTestApi(t, options)).transport);
  const names = async () => (await client.list('IPAddress', {})).items.map(({ metadata }) => metadata.name);
  return { client, names };
}

test("the cluster's own range is an object, and each address of a Service is one that names it", async (t) => {
  const { client, names } = await cluster(t);
  assert.deepEqual((await client.get('ServiceCIDR', 'kubernetes')).spec?.cidrs, ['10.96.0.0/16']);
  const { spec } = await client.create('Service', service('web'));
  const { metadata, spec: held } = await client.get('IPAddress', spec.clusterIP!);
  assert.deepEqual(held?.parentRef, { group: '', resource: 'services', namespace: 'default', name: 'web' });
  assert.equal(metadata.labels?.['ipaddress.kubernetes.io/managed-by'], 'ipallocator.k8s.io');
  await client.delete('Service', 'web', 'default');
  assert.deepEqual(await names(), ['10.96.0.1']);
});

test('an IPAddress that somebody else made keeps its address from Services', async (t) => {
  const { client } = await cluster(t);
  await client.create('IPAddress', address('10.96.0.20'));
  const wanting = service('web', { clusterIP: '10.96.0.20' });
  await assert.rejects(
    client.create('Service', wanting),
    /failed to allocate IP 10\.96\.0\.20: provided IP is already allocated/,
  );
  await client.delete('IPAddress', '10.96.0.20');
  assert.equal((await client.create('Service', wanting)).spec.clusterIP, '10.96.0.20');
});

test('the IPAddress of a living Service comes back when it is deleted', async (t) => {
  const { client, names } = await cluster(t);
  const { spec } = await client.create('Service', service('web'));
  await client.delete('IPAddress', spec.clusterIP!);
  assert.ok((await names()).includes(spec.clusterIP!));
});

test('a second ServiceCIDR gives room when the first is full', async (t) => {
  const { client } = await cluster(t, { serviceCIDRs: ['10.96.0.0/28'] });
  for (let i = 0; i < 12; i++) await client.create('Service', service(`s${i}`));
  await assert.rejects(client.create('Service', service('more')), /range is full/);
  await client.create('ServiceCIDR', { metadata: { name: 'more' }, spec: { cidrs: ['10.97.0.0/24'] } });
  assert.match((await client.create('Service', service('more'))).spec.clusterIP!, /^10\.97\.0\./);
  await client.delete('ServiceCIDR', 'more');
  await assert.rejects(
    client.create('Service', service('last', { clusterIP: '10.97.0.200' })),
    /does not match the current range/,
  );
});

test('after a restart the objects say what the Services hold', async (t) => {
  const stateDir = mkdtempSync(join(tmpdir(), 'pwt-addresses-'));
  t.after(() => rmSync(stateDir, { recursive: true }));
  const first = await startTestApi(t, { stateDir });
  const { spec } = await new Client(first.transport).create('Service', service('web'));
  await first.close();
  const { client, names } = await cluster(t, { stateDir });
  assert.ok((await names()).includes(spec.clusterIP!));
  await assert.rejects(client.create('Service', service('b', { clusterIP: spec.clusterIP! })), /already allocated/);
});

const bad: [name: string, act: (client: Client) => Promise<unknown>, message: RegExp][] = [
  ['an IPAddress whose name is none', (c) => c.create('IPAddress', address('web')), /must be a valid IP address/],
  [
    'an IPAddress not in its shortest form',
    (c) => c.create('IPAddress', address('fd00:0::1')),
    /must be in canonical form \("fd00::1"\)/,
  ],
  [
    'an IPAddress of nobody',
    (c) => c.create('IPAddress', { metadata: { name: '10.1.1.1' }, spec: {} } as never),
    /spec\.parentRef: Required value/,
  ],
  [
    'a range without a CIDR',
    (c) => c.create('ServiceCIDR', { metadata: { name: 'a' }, spec: {} }),
    /spec\.cidrs: Required value: at least one CIDR required/,
  ],
  [
    'a range with one family twice',
    (c) => c.create('ServiceCIDR', { metadata: { name: 'a' }, spec: { cidrs: ['10.1.0.0/16', '10.2.0.0/16'] } }),
    /may specify no more than one IP for each IP family/,
  ],
  [
    'a range that moves',
    (c) => c.patch('ServiceCIDR', { name: 'kubernetes' }, { spec: { cidrs: ['10.1.0.0/16'] } }),
    /spec\.cidrs: Invalid value: .*: field is immutable/,
  ],
];
for (const [name, act, message] of bad) {
  test(`refused: ${name}`, async (t) => assert.rejects(act((await cluster(t)).client), message));
}
