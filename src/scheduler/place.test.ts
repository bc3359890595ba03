// Room scheduler: decisions as a pure function: who fits where, why not, and which node is best.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node, Pod } from '../objects/types.ts';
import { place } from './place.ts';
import { podRequests } from './resources.ts';
import { ClusterState, podInfo } from './state.ts';

type PodSpec = Pod['spec'];
type Taints = NonNullable<Node['spec']>['taints'];

function node(
  name: string,
  options: { labels?: Record<string, string>; taints?: Taints; cpu?: string; unschedulable?: boolean } = {},
): Node {
  const { labels = {}, taints, cpu = '4', unschedulable } = options;
  const room = { cpu, memory: '8Gi', pods: '10', 'example.org/gpu': '1' };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      uid: name,
      resourceVersion: '1',
      creationTimestamp: '',
      labels: { 'kubernetes.io/hostname': name, ...labels },
    },
    spec: { ...(taints && { taints }), ...(unschedulable && { unschedulable }) },
    status: { allocatable: room },
  };
}

function pod(name: string, spec: Partial<PodSpec> = {}, labels: Record<string, string> = {}): Pod {
  const containers = [{ name: 'c', image: 'c' }];
  const metadata = { name, namespace: 'default', uid: name, resourceVersion: '1', creationTimestamp: '', labels };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers, ...spec } };
}

function asking(requests: Record<string, string>): Partial<PodSpec> {
  return { containers: [{ name: 'c', image: 'c', resources: { requests } }] };
}

function cluster(nodes: readonly Node[], bound: readonly [Pod, string][] = []): ClusterState {
  const state = new ClusterState();
  for (const one of nodes) state.setNode(one);
  for (const [one, name] of bound) state.assign(podInfo(one), name);
  return state;
}

function decide(state: ClusterState, wanted: Pod): string {
  const placement = place(podInfo(wanted), state.nodes());
  return 'node' in placement ? placement.node : placement.message;
}

const hostPort = (port: number, hostIP?: string): Partial<PodSpec> => ({
  containers: [{ name: 'c', image: 'c', ports: [{ containerPort: 80, hostPort: port, ...(hostIP && { hostIP }) }] }],
});
const zones = [
  node('a1', { labels: { zone: 'a' } }),
  node('a2', { labels: { zone: 'a' } }),
  node('b1', { labels: { zone: 'b' } }),
];
const term = (topologyKey: string) => ({ labelSelector: { matchLabels: { app: 'db' } }, topologyKey });
const near = (topologyKey: string): Partial<PodSpec> => ({
  affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term(topologyKey)] } },
});
const far = (topologyKey: string): Partial<PodSpec> => ({
  affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term(topologyKey)] } },
});
const db = pod('db', {}, { app: 'db' });
const dedicated: Taints = [{ key: 'only', value: 'db', effect: 'NoSchedule' }];
const draining: Taints = [{ key: 'drain', effect: 'NoExecute' }];
const ssd = { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] };

const CASES: readonly [why: string, state: ClusterState, wanted: Pod, answer: string][] = [
  ['without nodes', cluster([]), pod('p'), 'no nodes available to schedule pods'],
  ['of equal nodes the first by name', cluster([node('n2'), node('n1')]), pod('p'), 'n1'],
  ['the emptier node', cluster([node('n1'), node('n2')], [[pod('x', asking({ cpu: '2' })), 'n1']]), pod('p'), 'n2'],
  [
    'reasons are counted and sorted',
    cluster([node('n1', { cpu: '1' }), node('n2', { cpu: '1' }), node('n3', { taints: dedicated })]),
    pod('p', asking({ cpu: '2', memory: '16Gi' })),
    '0/3 nodes are available: 1 node(s) had untolerated taint {only: db}, 2 Insufficient cpu, 2 Insufficient memory.',
  ],
  [
    'what others hold counts',
    cluster([node('n1', { cpu: '1' })], [[pod('x', asking({ cpu: '600m' })), 'n1']]),
    pod('p', asking({ cpu: '500m' })),
    '0/1 nodes are available: 1 Insufficient cpu.',
  ],
  [
    'exactly full is not too full',
    cluster([node('n1', { cpu: '1' })], [[pod('x', asking({ cpu: '600m' })), 'n1']]),
    pod('p', asking({ cpu: '0.4' })),
    'n1',
  ],
  [
    'other resources',
    cluster([node('n1')], [[pod('x', asking({ 'example.org/gpu': '1' })), 'n1']]),
    pod('p', asking({ 'example.org/gpu': '1' })),
    '0/1 nodes are available: 1 Insufficient example.org/gpu.',
  ],
  [
    'the number of pods',
    cluster(
      [node('n1')],
      Array.from({ length: 10 }, (_, i) => [pod(`x${i}`), 'n1'] as [Pod, string]),
    ),
    pod('p'),
    '0/1 nodes are available: 1 Too many pods.',
  ],
  [
    'a cordoned node',
    cluster([node('n1', { unschedulable: true })]),
    pod('p'),
    '0/1 nodes are available: 1 node(s) were unschedulable.',
  ],
  [
    'a toleration',
    cluster([node('n1', { taints: dedicated })]),
    pod('p', { tolerations: [{ key: 'only', value: 'db', effect: 'NoSchedule' }] }),
    'n1',
  ],
  [
    'NoExecute keeps away too',
    cluster([node('n1', { taints: draining })]),
    pod('p'),
    '0/1 nodes are available: 1 node(s) had untolerated taint {drain: }.',
  ],
  [
    'a toleration of everything',
    cluster([node('n1', { taints: [...dedicated, ...draining] })]),
    pod('p', { tolerations: [{ operator: 'Exists' }] }),
    'n1',
  ],
  [
    'PreferNoSchedule is avoided',
    cluster([node('n1', { taints: [{ key: 'k', effect: 'PreferNoSchedule' }] }), node('n2')]),
    pod('p'),
    'n2',
  ],
  [
    'a node selector',
    cluster([node('n1'), node('n2', { labels: { disk: 'ssd' } })]),
    pod('p', { nodeSelector: { disk: 'ssd' } }),
    'n2',
  ],
  [
    'required node affinity, which nobody meets',
    cluster([node('n1')]),
    pod('p', {
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [ssd] } } },
    }),
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
  ],
  [
    'preferred node affinity',
    cluster([node('n1'), node('n2', { labels: { disk: 'ssd' } })]),
    pod('p', {
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ preference: ssd, weight: 5 }] } },
    }),
    'n2',
  ],
  [
    'a host port in use',
    cluster([node('n1')], [[pod('x', hostPort(80)), 'n1']]),
    pod('p', hostPort(80)),
    "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
  ],
  [
    'a host port of a container that runs beside the others',
    cluster([node('n1')], [[pod('x', hostPort(80)), 'n1']]),
    pod('p', { initContainers: [{ ...hostPort(80).containers![0]!, restartPolicy: 'Always' }] }),
    "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
  ],
  [
    'the same host port at another address',
    cluster([node('n1')], [[pod('x', hostPort(80, '127.0.0.1')), 'n1']]),
    pod('p', hostPort(80, '172.30.0.11')),
    'n1',
  ],
  ['near to another pod, in its zone', cluster(zones, [[db, 'b1']]), pod('p', near('zone')), 'b1'],
  [
    'near to a pod that is nowhere',
    cluster(zones),
    pod('p', near('zone')),
    "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
  ],
  ['the first of a group is near to itself', cluster(zones), pod('p', near('zone'), { app: 'db' }), 'a1'],
  ['far from another pod, out of its zone', cluster(zones, [[db, 'a1']]), pod('p', far('zone')), 'b1'],
  [
    'far from what is everywhere',
    cluster(zones, [
      [db, 'a1'],
      [pod('db2', {}, { app: 'db' }), 'b1'],
    ]),
    pod('p', far('zone')),
    "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.",
  ],
  [
    'a pod that wants to be far from us',
    cluster(zones, [[pod('x', far('zone')), 'a2']]),
    pod('p', {}, { app: 'db' }),
    'b1',
  ],
];

for (const [why, state, wanted, answer] of CASES) {
  test(`placed: ${why}`, () => assert.equal(decide(state, wanted), answer));
}

test('pods of one owner are spread, also when one node has more room', () => {
  const state = cluster([node('n1', { cpu: '64' }), node('n2'), node('n3')]);
  const ownerReferences = [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'rs', controller: true }];
  const counts: Record<string, number> = {};
  for (let i = 0; i < 9; i++) {
    const one = pod(`web-${i}`, asking({ cpu: '100m' }));
    one.metadata.ownerReferences = ownerReferences;
    const name = decide(state, one);
    counts[name] = (counts[name] ?? 0) + 1;
    state.assign(podInfo(one), name);
  }
  assert.deepEqual(counts, { n1: 3, n2: 3, n3: 3 });
});

test('a pod asks for its worst moment: init containers one by one, sidecars all along', () => {
  const of = (cpu: string, restartPolicy?: string) => ({
    name: cpu,
    image: 'c',
    resources: { requests: { cpu } },
    ...(restartPolicy && { restartPolicy }),
  });
  const spec: Partial<PodSpec> = {
    initContainers: [of('1'), of('200m', 'Always'), of('2')],
    containers: [of('500m'), { name: 'l', image: 'c', resources: { limits: { cpu: '300m' } } }],
    overhead: { cpu: '50m' },
  };
  assert.equal(podRequests(pod('p', spec)).get('cpu'), 2250);
  assert.equal(podRequests(pod('p', { ...spec, initContainers: [of('200m', 'Always')] })).get('cpu'), 1050);
});

test('what a pod held is free when it is released, and a node that comes back remembers its pods', () => {
  const state = cluster([node('n1', { cpu: '1' })], [[pod('x', asking({ cpu: '1' })), 'n1']]);
  state.removeNode('n1');
  assert.equal(decide(state, pod('p')), 'no nodes available to schedule pods');
  state.setNode(node('n1', { cpu: '1' }));
  assert.match(decide(state, pod('p', asking({ cpu: '1' }))), /Insufficient cpu/);
  state.release('default/x');
  assert.equal(decide(state, pod('p', asking({ cpu: '1' }))), 'n1');
});
