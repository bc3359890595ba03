// Room plan: what policies know of a pod, of whole ones and of what nodes watch of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject, Pod } from '../../objects/types.ts';
import { POD_PEERS, showSame } from '../../objects/views.ts';
import { podFacts } from './pod.ts';

const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'web',
    namespace: 'shop',
    uid: 'u',
    resourceVersion: '1',
    creationTimestamp: '',
    labels: { app: 'web' },
    annotations: { a: 'b' },
  },
  spec: {
    nodeName: 'node-1',
    serviceAccountName: 'shop',
    containers: [
      { name: 'web', image: 'x', ports: [{ name: 'http', containerPort: 8080 }, { containerPort: 9 }] },
      { name: 'dns', image: 'x', ports: [{ name: 'dns', protocol: 'UDP', containerPort: 53 }] },
    ],
    initContainers: [
      { name: 'once', image: 'x', ports: [{ name: 'setup', containerPort: 1 }] },
      { name: 'side', image: 'x', restartPolicy: 'Always', ports: [{ name: 'admin', containerPort: 9901 }] },
    ],
  },
  status: {
    phase: 'Running',
    podIP: '10.244.0.1',
    podIPs: [{ ip: '10.244.0.1' }, { ip: 'fd00::1' }],
    conditions: [{ type: 'Ready', status: 'True' }],
  },
} as unknown as Pod;

const VARIANTS: Record<string, Pod> = {
  whole: POD,
  'on its node’s network': { ...POD, spec: { ...POD.spec, hostNetwork: true } },
  ended: { ...POD, status: { ...POD.status, phase: 'Succeeded' } },
  'without addresses yet': { ...POD, status: { phase: 'Pending' } },
  bare: { ...POD, metadata: { ...POD.metadata, labels: {} }, spec: { containers: [{ name: 'c' }] } } as Pod,
};

for (const [name, pod] of Object.entries(VARIANTS)) {
  test(`a pod ${name}: what nodes watch of it tells policies as much as all of it`, () => {
    assert.deepEqual(podFacts(POD_PEERS.prune(pod)), podFacts(pod));
    assert.deepEqual(POD_PEERS.prune(POD_PEERS.prune(pod)), POD_PEERS.prune(pod));
  });
}

test('how a pod comes up is told to nobody who only has policies for it', () => {
  const seen = (change: object) => POD_PEERS.prune({ ...POD, ...change } as Pod) as KubeObject;
  const before = seen({});
  assert.ok(showSame(before, seen({ status: { ...POD.status, conditions: [], phase: 'Pending' } })));
  assert.ok(!showSame(before, seen({ status: { ...POD.status, phase: 'Failed' } })));
  assert.ok(!showSame(before, seen({ status: { phase: 'Running' } })));
});
