// Deployments against the embedded API server: from an apply to bound pods, and rollouts that keep their promises.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deployment, startCluster } from './cluster.ts';

test('a Deployment becomes a ReplicaSet, pods, and pods on nodes', async () => {
  await using cluster = await startCluster();
  for (const name of ['n1', 'n2', 'n3']) await cluster.addNode(name);
  cluster.runKubelets();
  await cluster.client.create('Deployment', deployment('web', 6));
  const done = await cluster.until('the rollout is complete', async () => {
    const now = await cluster.client.get('Deployment', 'web', 'default');
    return (
      now.status?.availableReplicas === 6 &&
      now.status.conditions?.some(({ reason }) => reason === 'NewReplicaSetAvailable') &&
      now
    );
  });
  const { conditions, ...counts } = done.status!;
  assert.deepEqual(counts, {
    observedGeneration: 1,
    replicas: 6,
    updatedReplicas: 6,
    readyReplicas: 6,
    availableReplicas: 6,
  });
  assert.equal(done.metadata.annotations?.['deployment.kubernetes.io/revision'], '1');
  assert.deepEqual(conditions?.map(({ type, status, reason }) => [type, status, reason]).sort(), [
    ['Available', 'True', 'MinimumReplicasAvailable'],
    ['Progressing', 'True', 'NewReplicaSetAvailable'],
  ]);
  const pods = await cluster.list('Pod');
  const perNode = Object.groupBy(pods, (pod) => pod.spec.nodeName!);
  assert.deepEqual(
    Object.values(perNode).map((group) => group!.length),
    [2, 2, 2],
  );
});

test('nothing is written while nothing changes', async () => {
  await using cluster = await startCluster({ podCIDRs: ['10.244.0.0/16'], rootCA: 'PEM' });
  const { client } = cluster;
  await cluster.addNode('n1');
  cluster.runKubelets();
  const selector = { app: 'web' };
  const metadata = { name: 'web', namespace: 'default', labels: { tier: 'front' } };
  await client.create('Service', { metadata, spec: { selector, ports: [{ port: 80 }] } });
  await client.create('Service', { metadata: { ...metadata, name: 'none' }, spec: { selector, clusterIP: 'None' } });
  await client.create('Deployment', deployment('web', 3));
  await client.create('Deployment', deployment('idle', 0));
  await cluster.until('all is done', async () => {
    const { status } = await client.get('Deployment', 'web', 'default');
    return (
      status?.conditions?.some(({ reason }) => reason === 'NewReplicaSetAvailable') && status.availableReplicas === 3
    );
  });
  // A revision is one write of anybody to anything.
  const revision = async () => (await client.list('Pod')).metadata.resourceVersion;
  let before = '';
  await cluster.until('500 ms without a write', async () => {
    before = await revision();
    await new Promise((resolve) => setTimeout(resolve, 500));
    return (await revision()) === before;
  });
});
