// ServiceCIDRs in a whole control plane: ready when made, and not gone before their addresses are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCluster } from './cluster.ts';

test('a range is ready, and once deleted stays until its last address is free', async () => {
  await using cluster = await startCluster();
  const { client, until } = cluster;
  const ready = async (name: string) =>
    (await client.get('ServiceCIDR', name)).status?.conditions?.find(({ type }) => type === 'Ready');
  await until('the default range is ready', async () => (await ready('kubernetes'))?.status === 'True');
  await client.create('ServiceCIDR', { metadata: { name: 'more' }, spec: { cidrs: ['10.97.0.0/24'] } });
  await until('the new one is', async () => (await ready('more'))?.status === 'True');
  const spec = { clusterIP: '10.97.0.7', ports: [{ port: 80 }] };
  await client.create('Service', { metadata: { name: 'web', namespace: 'default' }, spec });
  await until('the address is an object', () => client.get('IPAddress', '10.97.0.7').catch(() => undefined));
  await client.delete('ServiceCIDR', 'more');
  const told = await until('it says why it stays', async () => {
    const condition = await ready('more');
    return condition?.status === 'False' && condition;
  });
  assert.equal(told.reason, 'Terminating');
  await client.delete('Service', 'web', 'default');
  await until('it is gone', () =>
    client.get('ServiceCIDR', 'more').then(
      () => false,
      () => true,
    ),
  );
});
