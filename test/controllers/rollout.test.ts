// Rollouts against the embedded API server: what must hold at every moment, and what must be there in the end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPodActive, isPodReady } from '../../src/controllers/pods.ts';
import type { Deployment } from '../../src/objects/types.ts';
import { deployment, startCluster, type TestCluster, template } from './cluster.ts';

async function complete(cluster: TestCluster, name: string, revision: string): Promise<Deployment> {
  return cluster.until(`revision ${revision} of ${name} is rolled out`, async () => {
    const now = await cluster.client.get('Deployment', name, 'default');
    const {
      updatedReplicas = 0,
      replicas = 0,
      availableReplicas = 0,
      observedGeneration,
      conditions,
    } = now.status ?? {};
    const counts = [updatedReplicas, replicas, availableReplicas].every((count) => count === now.spec.replicas);
    const current = now.metadata.annotations?.['deployment.kubernetes.io/revision'] === revision;
    const progressed = conditions?.some(({ reason }) => reason === 'NewReplicaSetAvailable');
    return counts && current && progressed && observedGeneration === now.metadata.generation && now;
  });
}

async function setImage(cluster: TestCluster, name: string, image: string): Promise<void> {
  const spec = { template: template({ app: name }, image) };
  await cluster.client.patch('Deployment', { name, namespace: 'default' }, { spec });
}

/** After every change of a pod: how many are available, and how many there are. */
function watchCounts(cluster: TestCluster): { fewest: number; most: number } {
  const seen = { fewest: Number.POSITIVE_INFINITY, most: 0 };
  cluster.pods.onChange(() => {
    const active = [...cluster.pods.list()].filter(isPodActive);
    seen.fewest = Math.min(seen.fewest, active.filter(isPodReady).length);
    seen.most = Math.max(seen.most, active.length);
  });
  return seen;
}

const LIMITS = [
  { maxSurge: 2, maxUnavailable: 0 },
  { maxSurge: 0, maxUnavailable: 3 },
  { maxSurge: '25%', maxUnavailable: '25%' },
  { maxSurge: '100%', maxUnavailable: '10%' },
];
const ALLOWED = [
  { fewest: 10, most: 12 },
  { fewest: 7, most: 10 },
  { fewest: 8, most: 13 },
  { fewest: 9, most: 20 },
];

for (const [i, limits] of LIMITS.entries()) {
  test(`a rolling update of 10 pods keeps within ${JSON.stringify(limits)} at every moment`, async () => {
    await using cluster = await startCluster();
    await cluster.addNode('n1');
    cluster.runKubelets();
    const strategy = { type: 'RollingUpdate', rollingUpdate: limits };
    await cluster.client.create('Deployment', deployment('web', 10, { strategy } as Partial<Deployment['spec']>));
    await complete(cluster, 'web', '1');
    const seen = watchCounts(cluster);
    await setImage(cluster, 'web', 'web:2');
    await complete(cluster, 'web', '2');
    const { fewest, most } = ALLOWED[i]!;
    assert.ok(seen.fewest >= fewest, `${seen.fewest} were available at one moment, ${fewest} are promised`);
    assert.ok(seen.most <= most, `${seen.most} pods were there at one moment, ${most} are allowed`);
    const pods = await cluster.until('the old pods are gone', async () => {
      const all = await cluster.list('Pod');
      return all.length === 10 && all;
    });
    assert.ok(pods.every((pod) => pod.spec.containers[0]!.image === 'web:2'));
  });
}

test('Recreate makes no new pod before the last old one is gone', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  cluster.runKubelets();
  await cluster.client.create('Deployment', deployment('web', 4, { strategy: { type: 'Recreate' } }));
  await complete(cluster, 'web', '1');
  let mixed = 0;
  cluster.pods.onChange(() => {
    const images = new Set([...cluster.pods.list()].map((pod) => pod.spec.containers[0]!.image));
    if (images.size > 1) mixed++;
  });
  await setImage(cluster, 'web', 'web:2');
  await complete(cluster, 'web', '2');
  assert.equal(mixed, 0);
});

test('an undo (a patch with the old template) brings the old ReplicaSet back under a new revision', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  cluster.runKubelets();
  await cluster.client.create('Deployment', deployment('web', 3));
  await complete(cluster, 'web', '1');
  await setImage(cluster, 'web', 'web:2');
  await complete(cluster, 'web', '2');
  await setImage(cluster, 'web', 'web:1');
  await complete(cluster, 'web', '3');
  const sets = await cluster.list('ReplicaSet');
  assert.equal(sets.length, 2);
  const current = sets.find((set) => set.spec.template!.spec!.containers[0]!.image === 'web:1')!;
  assert.equal(current.spec.replicas, 3);
  assert.equal(current.metadata.annotations!['deployment.kubernetes.io/revision'], '3');
  assert.equal(current.metadata.annotations!['deployment.kubernetes.io/revision-history'], '1');
});

test('a paused Deployment does not roll, and rolls when it is resumed', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  cluster.runKubelets();
  await cluster.client.create('Deployment', deployment('web', 3));
  await complete(cluster, 'web', '1');
  const target = { name: 'web', namespace: 'default' };
  await cluster.client.patch('Deployment', target, { spec: { paused: true } });
  await setImage(cluster, 'web', 'web:2');
  await cluster.until('the pause is observed', async () => {
    const { status, metadata } = await cluster.client.get('Deployment', 'web', 'default');
    const paused = status?.conditions?.some(({ reason }) => reason === 'DeploymentPaused');
    return paused && status?.observedGeneration === metadata.generation;
  });
  assert.equal((await cluster.list('ReplicaSet')).length, 1);
  await cluster.client.patch('Deployment', target, { spec: { paused: false } });
  await complete(cluster, 'web', '2');
});

test('a rollout that stands still exceeds its deadline, and what was there goes on', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  cluster.runKubelets({ ready: (pod) => pod.spec.containers[0]!.image !== 'broken' });
  await cluster.client.create('Deployment', deployment('web', 4, { progressDeadlineSeconds: 1 }));
  await complete(cluster, 'web', '1');
  await setImage(cluster, 'web', 'broken');
  const stuck = await cluster.until('the deadline is exceeded', async () => {
    const now = await cluster.client.get('Deployment', 'web', 'default');
    return now.status?.conditions?.find(({ reason }) => reason === 'ProgressDeadlineExceeded');
  });
  assert.equal(stuck.status, 'False');
  assert.match(stuck.message!, /^ReplicaSet "web-[a-z0-9]+" has timed out progressing\.$/);
  const ready = (await cluster.list('Pod')).filter(isPodReady);
  assert.ok(ready.length >= 3);
});

test('scaling in the middle of a rollout shares the new pods out in proportion', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1', { cpu: '64' });
  cluster.runKubelets({ ready: (pod) => pod.spec.containers[0]!.image !== 'broken' });
  const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } };
  await cluster.client.create(
    'Deployment',
    deployment('web', 10, { strategy } as unknown as Partial<Deployment['spec']>),
  );
  await complete(cluster, 'web', '1');
  await setImage(cluster, 'web', 'broken');
  const sizes = async () => (await cluster.list('ReplicaSet')).map((set) => set.spec.replicas).sort();
  await cluster.until('the rollout stands at 8 and 5', async () => String(await sizes()) === '5,8');
  await cluster.client.patch('Deployment', { name: 'web', namespace: 'default' }, { spec: { replicas: 15 } });
  // The example of the Kubernetes documentation: 3 more for the old ReplicaSet, 2 for the new one.
  await cluster.until('the sizes are 11 and 7', async () => String(await sizes()) === '11,7');
});

test('old revisions beyond the limit are deleted', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  cluster.runKubelets();
  await cluster.client.create('Deployment', deployment('web', 1, { revisionHistoryLimit: 2 }));
  for (let revision = 1; revision <= 5; revision++) {
    if (revision > 1) await setImage(cluster, 'web', `web:${revision}`);
    await complete(cluster, 'web', String(revision));
  }
  const revisions = await cluster.until('two old revisions are left', async () => {
    const sets = await cluster.list('ReplicaSet');
    return (
      sets.length === 3 && sets.map((set) => set.metadata.annotations!['deployment.kubernetes.io/revision']).sort()
    );
  });
  assert.deepEqual(revisions, ['3', '4', '5']);
});
