// Room controllers: who owns whom, and what becomes of an object when its owners go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kind, KubeObject } from '../../objects/types.ts';
import { type GraphNode, judge, OwnerGraph, type OwnerState, type Verdict, waitsFor } from './graph.ts';

function object(uid: string, owners: readonly string[] = [], extra: object = {}): GraphNode['object'] {
  const ownerReferences = owners.map((owner) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: owner,
    uid: owner,
    blockOwnerDeletion: owner !== 'lax',
  }));
  const metadata = { name: uid, uid, resourceVersion: '1', creationTimestamp: '', ownerReferences, ...extra };
  return { metadata: metadata as KubeObject['metadata'] };
}

const kind: Kind = 'ConfigMap';
const uids = (nodes: readonly GraphNode[]) => nodes.map(({ object: { metadata } }) => metadata.uid).sort();

test('dependents follow every change of the references, also of owners that are not known', () => {
  const graph = new OwnerGraph();
  graph.set(kind, object('a', ['owner']));
  graph.set(kind, object('b', ['owner', 'other']));
  assert.deepEqual(uids(graph.dependents('owner')), ['a', 'b']);
  graph.set(kind, object('b', ['other']));
  assert.deepEqual([uids(graph.dependents('owner')), uids(graph.dependents('other'))], [['a'], ['b']]);
  graph.delete('a');
  assert.deepEqual(uids(graph.dependents('owner')), []);
});

test('only references that ask for it hold an owner back', () => {
  const graph = new OwnerGraph();
  graph.set(kind, object('a', ['lax']));
  assert.deepEqual([uids(graph.dependents('lax')), uids(graph.blockers('lax'))], [['a'], []]);
});

test('an object waits for a finalizer only while it is being deleted', () => {
  const finalizers = ['foregroundDeletion'];
  assert.equal(waitsFor({ kind, object: object('a', [], { finalizers }) }, 'foregroundDeletion'), false);
  const leaving = { finalizers, deletionTimestamp: '2026-01-01T00:00:00Z' };
  assert.equal(waitsFor({ kind, object: object('a', [], leaving) }, 'foregroundDeletion'), true);
  assert.equal(waitsFor({ kind, object: object('a', [], leaving) }, 'orphan'), false);
});

const VERDICTS: [
  why: string,
  states: Record<string, OwnerState>,
  dependents: boolean,
  finalizers: string[],
  Verdict,
][] = [
  ['nobody owns it', {}, false, [], { action: 'keep' }],
  ['its owner lives', { a: 'solid' }, true, [], { action: 'keep' }],
  ['one of two owners is gone', { a: 'solid', b: 'absent' }, false, [], { action: 'release', owners: new Set(['b']) }],
  ['one of two waits for it', { a: 'solid', b: 'waiting' }, true, [], { action: 'release', owners: new Set(['b']) }],
  ['all are gone', { a: 'absent', b: 'absent' }, true, [], { action: 'delete', propagationPolicy: 'Background' }],
  [
    'its owner waits, and it has nothing itself',
    { a: 'waiting' },
    false,
    [],
    { action: 'delete', propagationPolicy: 'Background' },
  ],
  [
    'its owner waits, and it has dependents',
    { a: 'waiting' },
    true,
    [],
    { action: 'delete', propagationPolicy: 'Foreground' },
  ],
  ['it was to orphan its own', { a: 'absent' }, true, ['orphan'], { action: 'delete', propagationPolicy: 'Orphan' }],
];
for (const [why, states, dependents, finalizers, verdict] of VERDICTS) {
  test(`judged: ${why}`, () => {
    const node = { kind, object: object('x', Object.keys(states), { finalizers }) };
    assert.deepEqual(judge(node, new Map(Object.entries(states)), dependents), verdict);
  });
}
