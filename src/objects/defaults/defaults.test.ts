// Room objects: what is filled in, kind by kind.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindRow } from '../kinds.ts';
import type { Kind, KindTypes } from '../types.ts';
import { applyDefaults } from './defaults.ts';

function defaulted<K extends Kind>(kind: K, object: object): KindTypes[K] {
  const draft = { apiVersion: 'v1', kind, metadata: { name: 'web' }, ...structuredClone(object) };
  applyDefaults(kindRow(kind), draft);
  const once = structuredClone(draft);
  applyDefaults(kindRow(kind), draft);
  assert.deepEqual(draft, once, 'defaults applied twice differ from once');
  return draft as unknown as KindTypes[K];
}

const POD_SPEC = {
  containers: [{ name: 'a', image: 'nginx', ports: [{ containerPort: 80 }], livenessProbe: { httpGet: { port: 80 } } }],
};

test('a Pod', () => {
  const { spec } = defaulted('Pod', { spec: { ...POD_SPEC, serviceAccountName: 'robot', volumes: [{ name: 'v' }] } });
  assert.deepEqual(spec, {
    containers: [
      {
        name: 'a',
        image: 'nginx',
        imagePullPolicy: 'Always',
        ports: [{ containerPort: 80, protocol: 'TCP' }],
        livenessProbe: {
          httpGet: { port: 80, path: '/', scheme: 'HTTP' },
          timeoutSeconds: 1,
          periodSeconds: 10,
          successThreshold: 1,
          failureThreshold: 3,
        },
        resources: {},
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
      },
    ],
    volumes: [{ name: 'v', emptyDir: {} }],
    serviceAccountName: 'robot',
    serviceAccount: 'robot',
    enableServiceLinks: true,
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: 'default-scheduler',
  });
});

const images: [image: string, policy: string][] = [
  ['nginx', 'Always'],
  ['nginx:latest', 'Always'],
  ['registry:5000/nginx', 'Always'],
  ['nginx:1.27', 'IfNotPresent'],
  ['registry:5000/nginx:1.27', 'IfNotPresent'],
  ['nginx@sha256:0123', 'IfNotPresent'],
];
for (const [image, policy] of images) {
  test(`the image ${image} is pulled ${policy}`, () => {
    const { spec } = defaulted('Pod', { spec: { containers: [{ name: 'a', image }] } });
    assert.equal(spec.containers[0]!.imagePullPolicy, policy);
  });
}

test('a container of a Pod requests what it is limited to; of a template it does not', () => {
  const spec = {
    containers: [
      { name: 'a', image: 'x:1', resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1m' } } },
    ],
  };
  assert.deepEqual(defaulted('Pod', { spec }).spec.containers[0]!.resources!.requests, { cpu: '1m', memory: '1Gi' });
  const replicas = defaulted('ReplicaSet', { spec: { template: { spec } } });
  assert.deepEqual(replicas.spec!.template!.spec!.containers[0]!.resources!.requests, { cpu: '1m' });
});

test('ports of a Pod in the network of its host are ports of the host', () => {
  const { spec } = defaulted('Pod', { spec: { ...POD_SPEC, hostNetwork: true } });
  assert.deepEqual(spec.containers[0]!.ports, [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }]);
});

test('files of volumes are readable for everybody', () => {
  const volumes = [
    { name: 'c', configMap: { name: 'c' } },
    { name: 's', secret: { secretName: 's', defaultMode: 0o400 } },
    {
      name: 'p',
      projected: {
        sources: [
          { serviceAccountToken: { path: 't' } },
          { downwardAPI: { items: [{ path: 'n', fieldRef: { fieldPath: 'metadata.name' } }] } },
        ],
      },
    },
  ];
  const { spec } = defaulted('Pod', { spec: { ...POD_SPEC, volumes } });
  assert.equal(spec.volumes![0]!.configMap!.defaultMode, 420);
  assert.equal(spec.volumes![1]!.secret!.defaultMode, 0o400);
  assert.equal(spec.volumes![2]!.projected!.sources![0]!.serviceAccountToken!.expirationSeconds, 3600);
  assert.equal(spec.volumes![2]!.projected!.sources![1]!.downwardAPI!.items![0]!.fieldRef!.apiVersion, 'v1');
});

test('a Service', () => {
  const { spec, status } = defaulted('Service', {
    spec: { ports: [{ port: 80 }, { name: 'dns', port: 53, targetPort: 'dns', protocol: 'UDP' }] },
  });
  assert.deepEqual(spec, {
    type: 'ClusterIP',
    sessionAffinity: 'None',
    internalTrafficPolicy: 'Cluster',
    ports: [
      { port: 80, targetPort: 80, protocol: 'TCP' },
      { name: 'dns', port: 53, targetPort: 'dns', protocol: 'UDP' },
    ],
  });
  assert.deepEqual(status, { loadBalancer: {} });
});

test('a Service that is seen from outside, and one that sticks to a client', () => {
  assert.equal(defaulted('Service', { spec: { type: 'NodePort' } }).spec.externalTrafficPolicy, 'Cluster');
  assert.equal(defaulted('Service', { spec: { type: 'LoadBalancer' } }).spec.allocateLoadBalancerNodePorts, true);
  assert.equal(defaulted('Service', { spec: { type: 'ExternalName' } }).spec.internalTrafficPolicy, undefined);
  const sticky = defaulted('Service', { spec: { sessionAffinity: 'ClientIP' } });
  assert.deepEqual(sticky.spec.sessionAffinityConfig, { clientIP: { timeoutSeconds: 10800 } });
});

test('a Deployment', () => {
  const { spec } = defaulted('Deployment', { spec: { template: { spec: POD_SPEC } } });
  const { template, ...rest } = spec!;
  assert.deepEqual(rest, {
    replicas: 1,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
  });
  assert.equal(template.spec!.restartPolicy, 'Always');
  assert.deepEqual(defaulted('Deployment', { spec: { strategy: { type: 'Recreate' } } }).spec!.strategy, {
    type: 'Recreate',
  });
});

test('a ReplicationController has its selector and labels from its template', () => {
  const controller = defaulted('ReplicationController', {
    spec: { template: { metadata: { labels: { app: 'web' } } } },
  });
  assert.equal(controller.spec!.replicas, 1);
  assert.deepEqual(controller.spec!.selector, { app: 'web' });
  assert.deepEqual(controller.metadata.labels, { app: 'web' });
});

test('a NetworkPolicy is about ingress, and about egress when it has egress rules', () => {
  assert.deepEqual(defaulted('NetworkPolicy', { spec: {} }).spec, { podSelector: {}, policyTypes: ['Ingress'] });
  const both = defaulted('NetworkPolicy', { spec: { egress: [{ ports: [{ port: 53 }] }] } }).spec;
  assert.deepEqual(both!.policyTypes, ['Ingress', 'Egress']);
  assert.equal(both!.egress![0]!.ports![0]!.protocol, 'TCP');
  assert.deepEqual(defaulted('NetworkPolicy', { spec: { policyTypes: ['Egress'] } }).spec!.policyTypes, ['Egress']);
});

test('text of a Secret becomes data', () => {
  const secret = defaulted('Secret', { data: { a: 'eA==' }, stringData: { a: 'y', b: 'zä' } });
  assert.deepEqual(secret.data, { a: 'eQ==', b: 'esOk' });
  assert.equal(secret.type, 'Opaque');
  assert.equal(secret.stringData, undefined);
});

test('a Namespace carries its name as a label, an EndpointSlice names its ports, an IngressClass scopes its parameters', () => {
  assert.deepEqual(defaulted('Namespace', {}).metadata.labels, { 'kubernetes.io/metadata.name': 'web' });
  assert.deepEqual(defaulted('EndpointSlice', { ports: [{ port: 80 }] }).ports, [
    { port: 80, name: '', protocol: 'TCP' },
  ]);
  assert.deepEqual(defaulted('Endpoints', { subsets: [{ ports: [{ port: 80 }] }] }).subsets![0]!.ports, [
    { port: 80, protocol: 'TCP' },
  ]);
  assert.equal(defaulted('IngressClass', { spec: { parameters: {} } }).spec!.parameters!.scope, 'Cluster');
  assert.deepEqual(defaulted('Node', { status: { capacity: { cpu: '2' } } }).status!.allocatable, { cpu: '2' });
});
