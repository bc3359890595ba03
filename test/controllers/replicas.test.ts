// ReplicaSets and ReplicationControllers against the embedded API server: numbers kept, pods adopted and let go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controllerOf } from '../../src/controllers/refs.ts';
import type { Draft, Pod, ReplicaSet } from '../../src/objects/types.ts';
import { startCluster, template } from './cluster.ts';

const labels = { app: 'web' };
const metadata = { name: 'web', namespace: 'default' };

function replicaSet(replicas: number, spec: Partial<ReplicaSet['spec']> = {}): Draft<ReplicaSet> {
  return { metadata, spec: { replicas, selector: { matchLabels: labels }, template: template(labels), ...spec } };
}

function loosePod(name: string): Draft<Pod> {
  return { metadata: { name, namespace: 'default', labels }, spec: { containers: [{ name: 'web', image: 'web:1' }] } };
}

test('a ReplicaSet scales up and down, replaces what is deleted, and never has more pods than wanted', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  cluster.runKubelets();
  let most = 0;
  let wanted = 5;
  cluster.pods.onChange(() => {
    const live = [...cluster.pods.list()].filter((pod) => !pod.metadata.deletionTimestamp).length;
    most = Math.max(most, live - wanted);
  });
  const settled = (count: number) =>
    cluster.until(`${count} are available`, async () => {
      const { status } = await cluster.client.get('ReplicaSet', 'web', 'default');
      return status?.replicas === count && (status.availableReplicas ?? 0) === count && (await cluster.list('Pod'));
    });
  await cluster.client.create('ReplicaSet', replicaSet(5));
  const [first] = await settled(5);
  await cluster.client.delete('Pod', first!.metadata.name, 'default');
  await cluster.until('it is replaced', async () => {
    const names = (await settled(5)).map((pod) => pod.metadata.name);
    return !names.includes(first!.metadata.name) && names.length === 5;
  });
  wanted = 25;
  await cluster.client.patch('ReplicaSet', metadata, { spec: { replicas: 25 } });
  await settled(25);
  assert.equal(most, 0, 'pods that were made in vain');
  await cluster.client.patch('ReplicaSet', metadata, { spec: { replicas: 2 } });
  await settled(2);
  await cluster.client.patch('ReplicaSet', metadata, { spec: { replicas: 0 } });
  await settled(0);
});

test('pods that match are adopted, a pod whose labels change is let go and replaced', async () => {
  await using cluster = await startCluster();
  await cluster.client.create('Pod', loosePod('loose'));
  await cluster.client.create('ReplicaSet', replicaSet(2));
  const { uid } = (await cluster.client.get('ReplicaSet', 'web', 'default')).metadata;
  await cluster.until('the loose pod is one of two', async () => {
    const pods = await cluster.list('Pod');
    return pods.length === 2 && pods.every((pod) => controllerOf(pod)?.uid === uid);
  });
  await cluster.client.patch(
    'Pod',
    { name: 'loose', namespace: 'default' },
    { metadata: { labels: { app: 'other' } } },
  );
  await cluster.until('it is free, and replaced', async () => {
    const pods = await cluster.list('Pod');
    const loose = pods.find((pod) => pod.metadata.name === 'loose');
    const owned = pods.filter((pod) => controllerOf(pod)?.uid === uid);
    return loose && !controllerOf(loose) && owned.length === 2;
  });
});

test('a pod is available only after minReadySeconds', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  const spec = { minReadySeconds: 2 };
  await cluster.client.create('ReplicaSet', replicaSet(1, spec));
  const [pod] = await cluster.until('there is a pod on a node', async () => {
    const pods = await cluster.list('Pod');
    return pods[0]?.spec.nodeName && pods;
  });
  // Times of the API are whole seconds.
  const readyAt = Math.floor(Date.now() / 1000) * 1000;
  const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime: new Date(readyAt).toISOString() }];
  const target = { name: pod!.metadata.name, namespace: 'default', subresource: 'status' };
  await cluster.client.patch('Pod', target, { status: { phase: 'Running', conditions } });
  await cluster.until('it is available', async () => {
    const { status } = await cluster.client.get('ReplicaSet', 'web', 'default');
    return status?.availableReplicas === 1;
  });
  assert.ok(Date.now() >= readyAt + 2000);
});

test('a ReplicationController keeps its number too, and tells what it did', async () => {
  await using cluster = await startCluster();
  await cluster.addNode('n1');
  cluster.runKubelets();
  await cluster.client.create('ReplicationController', {
    metadata,
    spec: { replicas: 3, selector: labels, template: template(labels) },
  });
  await cluster.until('3 are ready', async () => {
    const { status } = await cluster.client.get('ReplicationController', 'web', 'default');
    return status?.readyReplicas === 3 && status.availableReplicas === 3;
  });
  const events = await cluster.until('the events are there', async () => {
    const all = await cluster.list('Event');
    const ours = all.filter(({ involvedObject }) => involvedObject.kind === 'ReplicationController');
    return ours.length === 3 && ours;
  });
  assert.ok(
    events.every(
      ({ reason, source }) => reason === 'SuccessfulCreate' && source?.component === 'replication-controller',
    ),
  );
  assert.match(events[0]!.message!, /^Created pod: web-[a-z0-9]{5}$/);
});
