// Deletions against the embedded API server: what goes with its owner, in which order, and what stays.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isNotFound } from '../../src/objects/status.ts';
import type { Kind } from '../../src/objects/types.ts';
import { deployment, startCluster, type TestCluster, template } from './cluster.ts';

async function running(cluster: TestCluster): Promise<void> {
  await cluster.addNode('n1');
  cluster.runKubelets();
  await cluster.client.create('Deployment', deployment('web', 3));
  await cluster.until('3 are available', async () => {
    const { status } = await cluster.client.get('Deployment', 'web', 'default');
    return status?.availableReplicas === 3;
  });
}

const isGone = (cluster: TestCluster, kind: Kind, name: string, namespace?: string) => async () => {
  try {
    await cluster.client.get(kind, name, namespace);
    return false;
  } catch (error) {
    if (isNotFound(error)) return true;
    throw error;
  }
};

test('Background: the Deployment goes at once, its ReplicaSet and pods follow', async () => {
  await using cluster = await startCluster();
  await running(cluster);
  await cluster.client.delete('Deployment', 'web', 'default', { propagationPolicy: 'Background' });
  assert.ok(await isGone(cluster, 'Deployment', 'web', 'default')());
  await cluster.until('all is gone', async () => {
    return (await cluster.list('ReplicaSet')).length + (await cluster.list('Pod')).length === 0;
  });
});

test('Foreground: the Deployment is the last to go', async () => {
  await using cluster = await startCluster();
  await running(cluster);
  const order: string[] = [];
  for (const kind of ['Pod', 'ReplicaSet', 'Deployment'] as const) {
    cluster.client.watch(kind, {}, ({ type }) => void (type === 'DELETED' && order.push(kind)));
  }
  await cluster.client.delete('Deployment', 'web', 'default', { propagationPolicy: 'Foreground' });
  const { metadata } = await cluster.client.get('Deployment', 'web', 'default');
  assert.deepEqual(metadata.finalizers, ['foregroundDeletion']);
  await cluster.until('the Deployment is gone', isGone(cluster, 'Deployment', 'web', 'default'));
  await cluster.until('the watches told', () => order.length === 5);
  assert.deepEqual(order, ['Pod', 'Pod', 'Pod', 'ReplicaSet', 'Deployment']);
});

test('Orphan: the pods stay, belong to nobody, and are adopted by the next ReplicaSet', async () => {
  await using cluster = await startCluster();
  await running(cluster);
  const before = (await cluster.list('Pod')).map((pod) => pod.metadata.uid).sort();
  const [set] = await cluster.list('ReplicaSet');
  await cluster.client.delete('Deployment', 'web', 'default', { propagationPolicy: 'Orphan' });
  await cluster.until('the Deployment is gone', isGone(cluster, 'Deployment', 'web', 'default'));
  assert.equal((await cluster.list('ReplicaSet'))[0]!.metadata.ownerReferences, undefined);
  await cluster.client.delete('ReplicaSet', set!.metadata.name, 'default', { propagationPolicy: 'Orphan' });
  await cluster.until('the ReplicaSet is gone', isGone(cluster, 'ReplicaSet', set!.metadata.name, 'default'));
  const orphans = await cluster.list('Pod');
  assert.deepEqual(orphans.map((pod) => pod.metadata.uid).sort(), before);
  assert.ok(orphans.every((pod) => !pod.metadata.ownerReferences));
  const spec = { replicas: 3, selector: { matchLabels: { app: 'web' } }, template: template({ app: 'web' }) };
  const next = await cluster.client.create('ReplicaSet', { metadata: { name: 'next', namespace: 'default' }, spec });
  await cluster.until('all are adopted', async () => {
    const pods = await cluster.list('Pod');
    return pods.every((pod) => pod.metadata.ownerReferences?.[0]?.uid === next.metadata.uid);
  });
  assert.deepEqual((await cluster.list('Pod')).map((pod) => pod.metadata.uid).sort(), before);
});

test('an object whose owner never was goes, one with a living owner stays and forgets the other', async () => {
  await using cluster = await startCluster();
  const { client } = cluster;
  const alive = await client.create('ConfigMap', { metadata: { name: 'alive', namespace: 'default' } });
  const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'alive', uid: alive.metadata.uid };
  const absent = { apiVersion: 'v1', kind: 'ConfigMap', name: 'absent', uid: 'c9d1a5f2-0000-4000-8000-000000000000' };
  const unknown = {
    apiVersion: 'example.org/v1',
    kind: 'Widget',
    name: 'w',
    uid: 'c9d1a5f2-0000-4000-8000-000000000001',
  };
  const child = (name: string, ownerReferences: (typeof owner)[]) =>
    client.create('ConfigMap', { metadata: { name, namespace: 'default', ownerReferences } });
  await Promise.all([child('lost', [absent]), child('kept', [absent, owner]), child('foreign', [unknown])]);
  await cluster.until('the one without an owner is gone', isGone(cluster, 'ConfigMap', 'lost', 'default'));
  await cluster.until('the other reference is gone', async () => {
    const { metadata } = await client.get('ConfigMap', 'kept', 'default');
    return metadata.ownerReferences?.length === 1 && metadata.ownerReferences[0]!.name === 'alive';
  });
  assert.ok(await client.get('ConfigMap', 'foreign', 'default'), 'nobody can tell whether a Widget lives');
});

test('a namespace takes all of its objects along; what has a finalizer holds it, and the conditions say so', async () => {
  await using cluster = await startCluster({ rootCA: 'PEM' });
  const { client } = cluster;
  await cluster.addNode('n1');
  cluster.runKubelets();
  await client.create('Namespace', { metadata: { name: 'shop' } });
  await cluster.until('it has what every namespace has', async () => {
    const account = await client.get('ServiceAccount', 'default', 'shop').catch(() => undefined);
    const map = await client.get('ConfigMap', 'kube-root-ca.crt', 'shop').catch(() => undefined);
    return account && map?.data?.['ca.crt'] === 'PEM';
  });
  const draft = deployment('web', 3);
  await client.create('Deployment', { ...draft, metadata: { name: 'web', namespace: 'shop' } });
  const ports = [{ port: 80 }];
  await client.create('Service', {
    metadata: { name: 'web', namespace: 'shop' },
    spec: { selector: { app: 'web' }, ports },
  });
  const held = { name: 'held', namespace: 'shop', finalizers: ['example.org/hold'] };
  await client.create('ConfigMap', { metadata: held });
  await cluster.until(
    '3 run',
    async () => (await cluster.list('Pod', 'shop')).filter((pod) => pod.status?.podIP).length === 3,
  );

  await client.delete('Namespace', 'shop');
  const waiting = await cluster.until('only the finalizer holds it', async () => {
    const { status } = await client.get('Namespace', 'shop');
    const remaining = status?.conditions?.find(({ type }) => type === 'NamespaceContentRemaining');
    return remaining?.message === 'Some resources are remaining: configmaps has 1 resource instances' && status;
  });
  assert.equal(waiting.phase, 'Terminating');
  const finalizers = waiting.conditions?.find(({ type }) => type === 'NamespaceFinalizersRemaining');
  assert.equal(
    finalizers?.message,
    'Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances',
  );
  await client.patch('ConfigMap', { name: 'held', namespace: 'shop' }, { metadata: { finalizers: null } });
  await cluster.until('the namespace is gone', isGone(cluster, 'Namespace', 'shop'));
  for (const kind of ['Pod', 'ReplicaSet', 'Deployment', 'Service', 'EndpointSlice', 'Event'] as const) {
    assert.equal((await cluster.list(kind, 'shop')).length, 0, kind);
  }
});
