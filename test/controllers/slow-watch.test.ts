// Controllers whose watch is slow: what they have just written and do not see yet must not be written again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kind } from '../../src/objects/types.ts';
import { deployment, startCluster, type TestCluster, template } from './cluster.ts';

/** How many objects of a kind have come and gone in the namespace. */
function watchCounts(cluster: TestCluster, kind: Kind): { added: number; deleted: number } {
  const counts = { added: 0, deleted: 0 };
  cluster.client.watch(kind, { namespace: 'default' }, ({ type }) => {
    if (type === 'ADDED') counts.added++;
    if (type === 'DELETED') counts.deleted++;
  });
  return counts;
}

test('with a watch that is 40 ms late nothing is created or deleted twice', async () => {
  await using cluster = await startCluster({}, 40);
  const { client } = cluster;
  await cluster.addNode('n1');
  cluster.runKubelets();
  const pods = watchCounts(cluster, 'Pod');
  const sets = watchCounts(cluster, 'ReplicaSet');
  const slices = watchCounts(cluster, 'EndpointSlice');
  const ports = [{ port: 80 }];
  await client.create('Service', {
    metadata: { name: 'web', namespace: 'default' },
    spec: { selector: { app: 'web' }, ports },
  });
  await client.create('Deployment', deployment('web', 10));
  const settled = (replicas: number, updated = replicas) =>
    cluster.until(`${replicas} are available`, async () => {
      const { status, metadata } = await client.get('Deployment', 'web', 'default');
      const counts = [status?.replicas, status?.availableReplicas].every((count) => (count ?? 0) === replicas);
      return counts && status?.updatedReplicas === updated && status.observedGeneration === metadata.generation;
    });
  await settled(10);
  assert.deepEqual(
    [pods, sets],
    [
      { added: 10, deleted: 0 },
      { added: 1, deleted: 0 },
    ],
  );
  await client.patch('Deployment', { name: 'web', namespace: 'default' }, { spec: { replicas: 4 } });
  await settled(4);
  await cluster.until('the surplus is gone', () => pods.deleted >= 6);
  assert.deepEqual(pods, { added: 10, deleted: 6 });
  const spec = { template: template({ app: 'web' }, 'web:2') };
  await client.patch('Deployment', { name: 'web', namespace: 'default' }, { spec });
  await settled(4);
  await cluster.until('the old pods are gone', () => pods.deleted >= 10);
  assert.deepEqual(
    [pods, sets],
    [
      { added: 14, deleted: 10 },
      { added: 2, deleted: 0 },
    ],
  );
  assert.equal(slices.deleted, 0);
  assert.ok(slices.added <= 2, `${slices.added} slices, of which one is the Service kubernetes'`);
});
