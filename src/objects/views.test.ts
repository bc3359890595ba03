// Room objects: tests of views.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject, Node } from './types.ts';
import { NODE_PLACES, showSame } from './views.ts';

function node(change: (node: Node & { status: NonNullable<Node['status']> }) => void = () => {}): KubeObject {
  const whole = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node-1', uid: 'u', resourceVersion: '1', creationTimestamp: '', labels: { zone: 'a' } },
    spec: { podCIDR: '10.244.0.0/24', podCIDRs: ['10.244.0.0/24'] },
    status: {
      addresses: [{ type: 'InternalIP', address: '172.30.0.11' }],
      conditions: [
        { type: 'DiskPressure', status: 'False', lastHeartbeatTime: '1' },
        { type: 'Ready', status: 'True', lastHeartbeatTime: '1' },
      ],
    },
  } as Node & { status: NonNullable<Node['status']> };
  change(whole);
  return NODE_PLACES.prune(whole) as KubeObject;
}

test('how a node does is none of others’ business; where it is, whose pods it has and whether it is Ready are', () => {
  const same = (change: Parameters<typeof node>[0]) => showSame(node(), node(change));
  assert.ok(same(({ metadata }) => Object.assign(metadata, { resourceVersion: '2', annotations: { a: 'b' } })));
  assert.ok(same(({ status }) => Object.assign(status.conditions![1]!, { lastHeartbeatTime: '2' })));
  assert.ok(same(({ status }) => Object.assign(status.conditions![0]!, { status: 'True' })));
  assert.ok(same(({ status }) => Object.assign(status, { capacity: { cpu: '4' }, images: [{ names: ['x'] }] })));
  assert.ok(same(({ spec }) => Object.assign(spec!, { taints: [{ key: 'k', effect: 'NoSchedule' }] })));
  assert.ok(!same(({ metadata }) => Object.assign(metadata, { labels: { zone: 'b' } })));
  assert.ok(!same(({ metadata }) => Object.assign(metadata, { uid: 'v' })));
  assert.ok(!same(({ status }) => Object.assign(status.conditions![1]!, { status: 'Unknown' })));
  assert.ok(!same(({ status }) => Object.assign(status.addresses![0]!, { address: '172.30.0.12' })));
  assert.ok(!same(({ spec }) => Object.assign(spec!, { podCIDRs: ['10.244.1.0/24'] })));
});

test('what is pruned already stays as it is', () => {
  assert.deepEqual(NODE_PLACES.prune(node() as Node), node());
});
