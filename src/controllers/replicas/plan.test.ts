// Room controllers: how many pods, which ones first, and the status, as pure functions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, ReplicaSet } from '../../objects/types.ts';
import { planReplicas, withFailure } from './plan.ts';
import { rankForDeletion } from './rank.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');

interface PodSketch {
  node?: string;
  phase?: string;
  /** Seconds ago. */
  ready?: number;
  age?: number;
  restarts?: number;
  cost?: string;
  deleting?: boolean;
}

function pod(name: string, sketch: PodSketch = {}): Pod {
  const { node, phase = 'Running', ready, age = 100, restarts = 0, cost, deleting } = sketch;
  const before = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();
  const conditions = [
    { type: 'Ready', status: ready === undefined ? 'False' : 'True', lastTransitionTime: before(ready ?? 0) },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'default',
      uid: name,
      resourceVersion: '1',
      creationTimestamp: before(age),
      labels: { app: 'web' },
      ...(cost && { annotations: { 'controller.kubernetes.io/pod-deletion-cost': cost } }),
      ...(deleting && { deletionTimestamp: before(1) }),
    },
    spec: { containers: [], ...(node && { nodeName: node }) },
    status: { phase, conditions, containerStatuses: [{ restartCount: restarts }] },
  } as unknown as Pod;
}

function replicaSet(replicas: number, minReadySeconds = 0): ReplicaSet {
  const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [] } };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: 'web',
      namespace: 'default',
      uid: 'rs',
      resourceVersion: '1',
      creationTimestamp: '',
      generation: 4,
    },
    spec: { replicas, minReadySeconds, selector: { matchLabels: { app: 'web' } }, template },
  };
}

const names = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata.name);

const PREFERRED: { why: string; first: PodSketch; last: PodSketch }[] = [
  {
    why: 'one without a node before one on a node',
    first: { phase: 'Pending' },
    last: { node: 'n1', phase: 'Pending' },
  },
  { why: 'a pending one before a running one', first: { node: 'n1', phase: 'Pending' }, last: { node: 'n1' } },
  { why: 'an unready one before a ready one', first: { node: 'n1' }, last: { node: 'n1', ready: 5 } },
  {
    why: 'a cheaper one before a dearer one',
    first: { node: 'n1', ready: 5, cost: '-10' },
    last: { node: 'n1', ready: 1 },
  },
  {
    why: 'a recently ready one before a long ready one',
    first: { node: 'n1', ready: 1 },
    last: { node: 'n1', ready: 50 },
  },
  { why: 'one with more restarts', first: { node: 'n1', ready: 5, restarts: 3 }, last: { node: 'n1', ready: 5 } },
  {
    why: 'a younger one before an older one',
    first: { node: 'n1', ready: 5, age: 10 },
    last: { node: 'n1', ready: 5, age: 90 },
  },
];

for (const { why, first, last } of PREFERRED) {
  test(`to be deleted: ${why}`, () => {
    const pods = [pod('keep', last), pod('delete', first)];
    assert.deepEqual(names(rankForDeletion(pods, () => 0)), ['delete', 'keep']);
  });
}

test('to be deleted: the one of a crowded node', () => {
  const pods = [pod('alone', { node: 'n1', ready: 1 }), pod('crowded', { node: 'n2', ready: 9 })];
  assert.deepEqual(names(rankForDeletion(pods, ({ spec }) => (spec.nodeName === 'n2' ? 3 : 1))), ['crowded', 'alone']);
});

test('ended and leaving pods do not count, and are not deleted again', () => {
  const pods = [pod('a', { phase: 'Failed' }), pod('b', { deleting: true }), pod('c', { node: 'n1', ready: 3 })];
  const plan = planReplicas(replicaSet(3), pods, NOW);
  assert.deepEqual([plan.create, names(plan.remove)], [2, []]);
  assert.deepEqual(plan.status, {
    replicas: 1,
    fullyLabeledReplicas: 1,
    readyReplicas: 1,
    availableReplicas: 1,
    observedGeneration: 4,
  });
});

test('too many: just the surplus goes', () => {
  const pods = [pod('a', { node: 'n1', ready: 3 }), pod('b', { node: 'n1' }), pod('c', { node: 'n1', ready: 9 })];
  const plan = planReplicas(replicaSet(2), pods, NOW);
  assert.deepEqual([plan.create, names(plan.remove)], [0, ['b']]);
});

test('a pod becomes available when it was ready for minReadySeconds, and the plan says when to look', () => {
  const pods = [pod('a', { ready: 20 }), pod('b', { ready: 4 }), pod('c')];
  const plan = planReplicas(replicaSet(3, 10), pods, NOW);
  assert.deepEqual([plan.status.readyReplicas, plan.status.availableReplicas, plan.recheckAfterMs], [2, 1, 6000]);
});

test('an owner that is being deleted neither creates nor deletes', () => {
  const owner = replicaSet(0);
  owner.metadata.deletionTimestamp = '2026-03-01T11:59:59Z';
  const plan = planReplicas(owner, [pod('a')], NOW);
  assert.deepEqual([plan.create, plan.remove.length], [0, 0]);
  owner.spec.replicas = 5;
  assert.equal(planReplicas(owner, [], NOW).create, 0);
});

test('a failure is a condition that keeps its time, and goes when it is over', () => {
  const failed = withFailure({ replicas: 0 }, { reason: 'FailedCreate', message: 'quota' }, NOW);
  assert.deepEqual(failed.conditions, [
    {
      type: 'ReplicaFailure',
      status: 'True',
      reason: 'FailedCreate',
      message: 'quota',
      lastTransitionTime: '2026-03-01T12:00:00Z',
    },
  ]);
  assert.equal(withFailure(failed, { reason: 'FailedCreate', message: 'quota' }, NOW + 5000), failed);
  assert.deepEqual(withFailure(failed, undefined, NOW), { replicas: 0 });
});
