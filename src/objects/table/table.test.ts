// Room objects: what `kubectl get` shows, row by row.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindRow } from '../kinds.ts';
import type { Kind, KubeObject } from '../types.ts';
import { humanDuration } from './age.ts';
import { tableFor } from './table.ts';

const NOW = Date.parse('2026-01-02T12:00:00Z');

function stored(kind: Kind, object: object): KubeObject {
  const metadata = { name: 'web', uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-02T11:00:00Z' };
  const { metadata: more, ...rest } = object as { metadata?: object };
  return { apiVersion: 'v1', kind, metadata: { ...metadata, ...more }, ...rest };
}

/** The row as kubectl prints it: with -o wide all columns, else those of priority 0. */
function printed(kind: Kind, object: object, wide = false): string {
  const table = tableFor(kindRow(kind), [stored(kind, object)], { now: NOW });
  const cells = table.rows[0]!.cells.filter((_, i) => wide || table.columnDefinitions[i]!.priority === 0);
  return cells.join(' | ');
}

function header(kind: Kind, wide = false): string {
  const { columnDefinitions } = tableFor(kindRow(kind), []);
  const shown = columnDefinitions.filter(({ priority }) => wide || priority === 0);
  return shown.map(({ name }) => name.toUpperCase()).join(' ');
}

const headers: [kind: Kind, header: string][] = [
  ['Pod', 'NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES'],
  ['Service', 'NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR'],
  ['Deployment', 'NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR'],
  ['ReplicaSet', 'NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR'],
  ['ReplicationController', 'NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR'],
  ['Node', 'NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME'],
  ['Namespace', 'NAME STATUS AGE'],
  ['Endpoints', 'NAME ENDPOINTS AGE'],
  ['EndpointSlice', 'NAME ADDRESSTYPE PORTS ENDPOINTS AGE'],
  ['NetworkPolicy', 'NAME POD-SELECTOR AGE'],
  ['Ingress', 'NAME CLASS HOSTS ADDRESS PORTS AGE'],
  ['IngressClass', 'NAME CONTROLLER PARAMETERS AGE'],
  ['ConfigMap', 'NAME DATA AGE'],
  ['Secret', 'NAME TYPE DATA AGE'],
  ['ServiceAccount', 'NAME SECRETS AGE'],
  ['Event', 'LAST SEEN TYPE REASON OBJECT SUBOBJECT SOURCE MESSAGE FIRST SEEN COUNT NAME'],
  ['ServiceCIDR', 'NAME CIDRS AGE'],
  ['LBPool', 'NAME AUTO-ASSIGN ADDRESSES ASSIGNED FREE STATUS PRIORITY AGE'],
  ['ClusterNetworkPolicy', 'NAME TIER PRIORITY MODE AGE'],
  ['GlobalNetworkPolicy', 'NAME TIER ORDER MODE AGE'],
  ['IPAddress', 'NAME PARENTREF AGE'],
  ['Lease', 'NAME HOLDER AGE'],
];
for (const [kind, text] of headers) test(`the columns of ${kind}`, () => assert.equal(header(kind, true), text));

const rows: [name: string, kind: Kind, object: object, row: string][] = [
  [
    'a ClusterIP Service',
    'Service',
    {
      spec: {
        type: 'ClusterIP',
        clusterIPs: ['10.96.0.7'],
        ports: [
          { port: 80, protocol: 'TCP' },
          { port: 53, protocol: 'UDP' },
        ],
      },
    },
    'web | ClusterIP | 10.96.0.7 | <none> | 80/TCP,53/UDP | 60m',
  ],
  [
    'a NodePort Service',
    'Service',
    { spec: { type: 'NodePort', clusterIP: '10.96.0.7', ports: [{ port: 80, nodePort: 30080, protocol: 'TCP' }] } },
    'web | NodePort | 10.96.0.7 | <none> | 80:30080/TCP | 60m',
  ],
  [
    'a LoadBalancer that waits',
    'Service',
    { spec: { type: 'LoadBalancer', clusterIP: '10.96.0.7', ports: [] } },
    'web | LoadBalancer | 10.96.0.7 | <pending> | <none> | 60m',
  ],
  [
    'an ExternalName',
    'Service',
    { spec: { type: 'ExternalName', externalName: 'example.com' } },
    'web | ExternalName | <none> | example.com | <none> | 60m',
  ],
  [
    'a headless Service',
    'Service',
    { spec: { type: 'ClusterIP', clusterIPs: ['None'], ports: [] } },
    'web | ClusterIP | None | <none> | <none> | 60m',
  ],
  [
    'a Deployment under way',
    'Deployment',
    { spec: { replicas: 3 }, status: { readyReplicas: 1, updatedReplicas: 2, availableReplicas: 1 } },
    'web | 1/3 | 2 | 1 | 60m',
  ],
  [
    'a ReplicaSet',
    'ReplicaSet',
    { spec: { replicas: 3 }, status: { replicas: 2, readyReplicas: 1 } },
    'web | 3 | 2 | 1 | 60m',
  ],
  [
    'a Node',
    'Node',
    {
      metadata: { labels: { 'node-role.kubernetes.io/worker': '', 'node-role.kubernetes.io/control-plane': '' } },
      spec: { unschedulable: true },
      status: { conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kubeletVersion: 'v1' } },
    },
    'web | Ready,SchedulingDisabled | control-plane,worker | 60m | v1',
  ],
  ['a Node that nobody has heard of', 'Node', {}, 'web | Unknown | <none> | 60m | '],
  [
    'Endpoints',
    'Endpoints',
    { subsets: [{ addresses: [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }], ports: [{ port: 80 }, { port: 81 }] }] },
    'web | 10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more... | 60m',
  ],
  ['empty Endpoints', 'Endpoints', {}, 'web | <none> | 60m'],
  [
    'an EndpointSlice',
    'EndpointSlice',
    {
      addressType: 'IPv4',
      ports: [{ port: 80 }],
      endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.2'] }],
    },
    'web | IPv4 | 80 | 10.0.0.1,10.0.0.2 | 60m',
  ],
  [
    'an empty EndpointSlice',
    'EndpointSlice',
    { addressType: 'IPv4', endpoints: [] },
    'web | IPv4 | <unset> | <unset> | 60m',
  ],
  ['a NetworkPolicy for all pods', 'NetworkPolicy', { spec: { podSelector: {} } }, 'web | <none> | 60m'],
  [
    'a NetworkPolicy for some',
    'NetworkPolicy',
    {
      spec: {
        podSelector: {
          matchLabels: { app: 'web' },
          matchExpressions: [{ key: 'tier', operator: 'In', values: ['b', 'a'] }],
        },
      },
    },
    'web | app=web,tier in (a,b) | 60m',
  ],
  [
    'an Ingress',
    'Ingress',
    {
      spec: { ingressClassName: 'haproxy', rules: [{ host: 'a.example' }, {}], tls: [{}] },
      status: { loadBalancer: { ingress: [{ ip: '172.30.0.200' }] } },
    },
    'web | haproxy | a.example,* | 172.30.0.200 | 80, 443 | 60m',
  ],
  ['a ConfigMap', 'ConfigMap', { data: { a: '1' }, binaryData: { b: 'eA==' } }, 'web | 2 | 60m'],
  [
    'an Event',
    'Event',
    {
      involvedObject: { kind: 'Pod', name: 'web-1' },
      type: 'Warning',
      reason: 'BackOff',
      message: 'again\n',
      lastTimestamp: '2026-01-02T11:59:48Z',
      count: 4,
    },
    '12s | Warning | BackOff | pod/web-1 | again',
  ],
];
for (const [name, kind, object, row] of rows) test(`a row: ${name}`, () => assert.equal(printed(kind, object), row));

const running = { name: 'a', ready: true, restartCount: 0, state: { running: {} } };
const pods: [status: string, pod: { spec?: object; status: object; metadata?: object }][] = [
  ['0/1 | Pending | 0', { status: { phase: 'Pending' } }],
  [
    '0/1 | ContainerCreating | 0',
    {
      status: {
        phase: 'Pending',
        containerStatuses: [{ ...running, ready: false, state: { waiting: { reason: 'ContainerCreating' } } }],
      },
    },
  ],
  ['1/1 | Running | 0', { status: { phase: 'Running', containerStatuses: [running] } }],
  [
    '0/1 | CrashLoopBackOff | 3 (2m ago)',
    {
      status: {
        phase: 'Running',
        containerStatuses: [
          {
            ...running,
            ready: false,
            restartCount: 3,
            state: { waiting: { reason: 'CrashLoopBackOff' } },
            lastState: { terminated: { finishedAt: '2026-01-02T11:58:00Z' } },
          },
        ],
      },
    },
  ],
  [
    '0/1 | Error | 0',
    {
      status: {
        phase: 'Failed',
        containerStatuses: [{ ...running, ready: false, state: { terminated: { exitCode: 1, reason: 'Error' } } }],
      },
    },
  ],
  [
    '0/1 | ExitCode:3 | 0',
    {
      status: {
        phase: 'Failed',
        containerStatuses: [{ ...running, ready: false, state: { terminated: { exitCode: 3 } } }],
      },
    },
  ],
  [
    '0/1 | Completed | 0',
    {
      status: {
        phase: 'Succeeded',
        containerStatuses: [{ ...running, ready: false, state: { terminated: { exitCode: 0, reason: 'Completed' } } }],
      },
    },
  ],
  [
    '1/1 | Terminating | 0',
    {
      metadata: { deletionTimestamp: '2026-01-02T12:00:00Z' },
      status: { phase: 'Running', containerStatuses: [running] },
    },
  ],
  ['0/1 | Evicted | 0', { status: { phase: 'Failed', reason: 'Evicted' } }],
  [
    '0/1 | Init:0/2 | 0',
    {
      spec: { initContainers: [{ name: 'i' }, { name: 'j' }] },
      status: {
        phase: 'Pending',
        initContainerStatuses: [
          { name: 'i', restartCount: 0, state: { running: {} } },
          { name: 'j', restartCount: 0, state: { waiting: { reason: 'PodInitializing' } } },
        ],
      },
    },
  ],
  [
    '0/1 | Init:CrashLoopBackOff | 2',
    {
      spec: { initContainers: [{ name: 'i' }] },
      status: {
        phase: 'Pending',
        initContainerStatuses: [{ name: 'i', restartCount: 2, state: { waiting: { reason: 'CrashLoopBackOff' } } }],
      },
    },
  ],
  [
    '0/1 | Init:Error | 0',
    {
      spec: { initContainers: [{ name: 'i' }] },
      status: {
        phase: 'Failed',
        initContainerStatuses: [
          { name: 'i', restartCount: 0, state: { terminated: { exitCode: 1, reason: 'Error' } } },
        ],
      },
    },
  ],
  [
    '0/1 | PodInitializing | 0',
    {
      spec: { initContainers: [{ name: 'i' }] },
      status: {
        phase: 'Pending',
        initContainerStatuses: [{ name: 'i', restartCount: 1, state: { terminated: { exitCode: 0 } } }],
        containerStatuses: [{ ...running, ready: false, state: { waiting: { reason: 'PodInitializing' } } }],
      },
    },
  ],
  [
    '2/2 | Running | 0',
    {
      spec: { initContainers: [{ name: 's', restartPolicy: 'Always' }] },
      status: {
        phase: 'Running',
        conditions: [{ type: 'Initialized', status: 'True' }],
        initContainerStatuses: [{ name: 's', ready: true, started: true, restartCount: 0, state: { running: {} } }],
        containerStatuses: [running],
      },
    },
  ],
  [
    '1/2 | NotReady | 0',
    {
      spec: { containers: [{ name: 'a' }, { name: 'b' }] },
      status: {
        phase: 'Running',
        containerStatuses: [
          { ...running, ready: false, state: { terminated: { exitCode: 0, reason: 'Completed' } } },
          { ...running, name: 'b' },
        ],
      },
    },
  ],
];
for (const [text, { spec, ...rest }] of pods) {
  test(`a Pod shows ${text}`, () => {
    const pod = { spec: { containers: [{ name: 'a' }], ...spec }, ...rest };
    assert.equal(printed('Pod', pod), `web | ${text} | 60m`);
  });
}

test('a Pod with -o wide shows where it is', () => {
  const pod = {
    spec: { containers: [], nodeName: 'n1' },
    status: { phase: 'Running', podIPs: [{ ip: '10.244.0.7' }] },
  };
  assert.equal(printed('Pod', pod, true), 'web | 0/0 | Running | 0 | 60m | 10.244.0.7 | n1 | <none> | <none>');
});

test('a row carries the metadata, the object, or nothing, as was asked', () => {
  const object = stored('ConfigMap', { data: { a: '1' } });
  const row = (includeObject?: 'Metadata' | 'Object' | 'None') =>
    tableFor(kindRow('ConfigMap'), [object], { includeObject }).rows[0]!.object;
  const partial = { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
  assert.deepEqual(row(), partial);
  assert.deepEqual(row('Metadata'), partial);
  assert.equal(row('Object'), object);
  assert.equal(row('None'), undefined);
  assert.deepEqual(tableFor(kindRow('ConfigMap'), [object], { headers: false }).columnDefinitions, []);
});

const spans: [seconds: number, text: string][] = [
  [0, '0s'],
  [119, '119s'],
  [120, '2m'],
  [192, '3m12s'],
  [3600, '60m'],
  [3 * 3600, '3h'],
  [3 * 3600 + 120, '3h2m'],
  [30 * 3600, '30h'],
  [50 * 3600, '2d2h'],
  [100 * 86400, '100d'],
  [3 * 365 * 86400, '3y'],
  [-60, '<invalid>'],
];
for (const [seconds, text] of spans) {
  test(`${seconds} seconds are ${text}`, () => assert.equal(humanDuration(seconds * 1000), text));
}
