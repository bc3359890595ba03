// Room objects: objects that may not be stored, and the words with which they are refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode } from '../decode.ts';
import { applyDefaults } from '../defaults/defaults.ts';
import { kindRow } from '../kinds.ts';
import type { DraftObject, Kind, KubeObject } from '../types.ts';
import { invalid, validate } from './validate.ts';

const CLUSTER_SCOPED = new Set<Kind>(['Namespace', 'Node', 'IngressClass', 'ServiceCIDR', 'IPAddress']);

function prepared(kind: Kind, object: object): DraftObject {
  const { metadata, ...rest } = structuredClone(object) as { metadata?: object };
  const namespace = CLUSTER_SCOPED.has(kind) ? {} : { namespace: 'default' };
  const decoded = decode(kindRow(kind), { metadata: { name: 'web', ...namespace, ...metadata }, ...rest }, 'Strict');
  applyDefaults(kindRow(kind), decoded.object);
  return decoded.object;
}

function problems(kind: Kind, object: object, old?: object): string[] {
  const before = old && (prepared(kind, old) as KubeObject);
  const causes = validate(kindRow(kind), prepared(kind, object), before);
  return causes.map(({ field, message }) => `${field}: ${message}`);
}

const pod = (spec: object) => ({ spec: { containers: [{ name: 'a', image: 'x:1' }], ...spec } });
const container = (fields: object) => ({ spec: { containers: [{ name: 'a', image: 'x:1', ...fields }] } });
const template = { metadata: { labels: { app: 'web' } }, ...pod({}) };
const deployment = (spec: object) => ({ spec: { selector: { matchLabels: { app: 'web' } }, template, ...spec } });
const service = (spec: object) => ({ spec: { ports: [{ port: 80 }], ...spec } });
const policy = (rule: object) => ({ spec: { ingress: [rule] } });
const ingress = (path: object) => ({ spec: { rules: [{ http: { paths: [path] } }] } });
const backend = { service: { name: 'web', port: { number: 80 } } };
const slice = (fields: object) => ({ addressType: 'IPv4', endpoints: [], ...fields });

const good: [name: string, kind: Kind, object: object][] = [
  ['a Pod', 'Pod', pod({ volumes: [{ name: 'v', emptyDir: {} }] })],
  [
    'a Pod that uses its volume',
    'Pod',
    pod({
      containers: [{ name: 'a', image: 'x', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
      volumes: [{ name: 'v' }],
    }),
  ],
  [
    'a sidecar with a probe',
    'Pod',
    pod({
      initContainers: [
        { name: 's', image: 'x', restartPolicy: 'Always', startupProbe: { exec: { command: ['true'] } } },
      ],
    }),
  ],
  ['a Deployment', 'Deployment', deployment({})],
  ['a Service', 'Service', service({})],
  ['a headless Service without ports', 'Service', { spec: { clusterIP: 'None' } }],
  ['an ExternalName', 'Service', { spec: { type: 'ExternalName', externalName: 'example.com.' } }],
  [
    'a policy with an exception',
    'NetworkPolicy',
    policy({ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }] }),
  ],
  ['an Ingress', 'Ingress', ingress({ path: '/', pathType: 'Prefix', backend })],
  ['an EndpointSlice', 'EndpointSlice', slice({ endpoints: [{ addresses: ['10.244.0.7'] }] })],
  ['a ConfigMap', 'ConfigMap', { data: { 'a.b-c_D': 'x' } }],
  ['a Lease', 'Lease', { spec: { leaseDurationSeconds: 40 } }],
  ['a Node', 'Node', { spec: { podCIDRs: ['10.244.0.0/24'], taints: [{ key: 'a', effect: 'NoSchedule' }] } }],
];
for (const [name, kind, object] of good) test(`accepted: ${name}`, () => assert.deepEqual(problems(kind, object), []));

const LABEL =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

const refused: [name: string, kind: Kind, object: object, problems: string[]][] = [
  [
    'no name',
    'ConfigMap',
    { metadata: { name: '' } },
    ['metadata.name: Required value: name or generateName is required'],
  ],
  [
    'a name with capitals',
    'Namespace',
    { metadata: { name: 'Shop' } },
    [`metadata.name: Invalid value: "Shop": ${LABEL}`],
  ],
  [
    'a bad label value',
    'ConfigMap',
    { metadata: { labels: { a: '-' } } },
    [
      "metadata.labels: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ],
  ],
  [
    'a finalizer without a domain',
    'ConfigMap',
    { metadata: { finalizers: ['mine'] } },
    ['metadata.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'],
  ],
  ['no containers', 'Pod', { spec: {} }, ['spec.containers: Required value']],
  [
    'a hostname of its own, and more',
    'Pod',
    pod({ hostnameOverride: `a.${'b'.repeat(70)}`, setHostnameAsFQDN: true, hostNetwork: true }),
    [
      'spec.hostnameOverride: Too long: may not be more than 64 bytes',
      'spec.setHostnameAsFQDN: Forbidden: may not be specified when `hostnameOverride` is set',
      'spec.hostnameOverride: Forbidden: may not be specified when `hostNetwork` is true',
    ],
  ],
  ['no image', 'Pod', container({ image: '' }), ['spec.containers[0].image: Required value']],
  [
    'two containers of one name',
    'Pod',
    pod({
      containers: [
        { name: 'a', image: 'x' },
        { name: 'a', image: 'y' },
      ],
    }),
    ['spec.containers[1].name: Duplicate value: "a"'],
  ],
  [
    'a port out of range',
    'Pod',
    container({ ports: [{ containerPort: 70000 }] }),
    ['spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive'],
  ],
  [
    'an unknown protocol',
    'Pod',
    container({ ports: [{ containerPort: 1, protocol: 'ICMP' }] }),
    ['spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
  ],
  [
    'a mount of no volume',
    'Pod',
    container({ volumeMounts: [{ name: 'v', mountPath: '/v' }] }),
    ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
  ],
  [
    'requests over limits',
    'Pod',
    container({ resources: { requests: { cpu: '2' }, limits: { cpu: '1500m' } } }),
    ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1500m'],
  ],
  [
    'a probe of no kind',
    'Pod',
    container({ livenessProbe: {} }),
    ['spec.containers[0].livenessProbe: Required value: must specify a handler type'],
  ],
  [
    'a probe of two kinds',
    'Pod',
    container({ readinessProbe: { exec: { command: ['a'] }, tcpSocket: { port: 1 } } }),
    ['spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type'],
  ],
  [
    'a probe of an init container',
    'Pod',
    pod({ initContainers: [{ name: 'i', image: 'x', livenessProbe: { exec: { command: ['a'] } } }] }),
    [
      'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
    ],
  ],
  [
    'a variable from nowhere',
    'Pod',
    container({ env: [{ name: 'A', valueFrom: {} }] }),
    [
      'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `fileKeyRef` or `secretKeyRef`',
    ],
  ],
  [
    'an unknown restartPolicy',
    'Pod',
    pod({ restartPolicy: 'Sometimes' }),
    ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"'],
  ],
  [
    'a volume of two kinds',
    'Pod',
    pod({ volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/' } }] }),
    ['spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type'],
  ],
  ['no selector', 'Deployment', { spec: { template } }, ['spec.selector: Required value']],
  [
    'a selector of other pods',
    'Deployment',
    deployment({ selector: { matchLabels: { app: 'db' } } }),
    ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
  ],
  [
    'a rollout that cannot begin',
    'Deployment',
    deployment({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } } }),
    ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'],
  ],
  [
    'fewer than no replicas',
    'ReplicaSet',
    deployment({ replicas: -1 }),
    ['spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
  ],
  [
    'pods that do not restart',
    'ReplicaSet',
    deployment({ template: { ...template, ...pod({ restartPolicy: 'Never' }) } }),
    ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
  ],
  ['no ports', 'Service', { spec: {} }, ['spec.ports: Required value']],
  [
    'several ports without names',
    'Service',
    service({ ports: [{ port: 80, name: 'http' }, { port: 81 }] }),
    ['spec.ports[1].name: Required value'],
  ],
  [
    'the same port twice',
    'Service',
    service({
      ports: [
        { port: 80, name: 'a' },
        { port: 80, name: 'b' },
      ],
    }),
    ['spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}'],
  ],
  [
    'a nodePort of a ClusterIP',
    'Service',
    service({ ports: [{ port: 80, nodePort: 30000 }] }),
    ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
  ],
  [
    'an unknown type',
    'Service',
    service({ type: 'Magic' }),
    [
      'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ],
  ],
  [
    'an address that is none',
    'Service',
    service({ clusterIP: '10.96.0' }),
    ['spec.clusterIPs[0]: Invalid value: "10.96.0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
  ],
  [
    'an exception outside',
    'NetworkPolicy',
    policy({ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8'] } }] }),
    ['spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`'],
  ],
  [
    'a CIDR that is none',
    'NetworkPolicy',
    policy({ from: [{ ipBlock: { cidr: '10.0.0.0' } }] }),
    [
      'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ],
  ],
  [
    'a range of ports that runs backwards',
    'NetworkPolicy',
    policy({ ports: [{ port: 80, endPort: 79 }] }),
    ['spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`'],
  ],
  [
    'a range of ports from a name on, or from nowhere',
    'NetworkPolicy',
    policy({ ports: [{ port: 'web', endPort: 90 }, { endPort: 90 }] }),
    [
      'spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric',
      'spec.ingress[0].ports[1].port: Required value: must be specified when `endPort` is set',
    ],
  ],
  [
    'a protocol and ports that are none',
    'NetworkPolicy',
    policy({ ports: [{ protocol: 'ICMP' }, { port: 0 }, { port: 1, endPort: 65536 }] }),
    [
      'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
      'spec.ingress[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive',
      'spec.ingress[0].ports[2].endPort: Invalid value: 65536: must be between 1 and 65535, inclusive',
    ],
  ],
  [
    'an exception outside of its block',
    'NetworkPolicy',
    policy({ from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.1.0.0/16', 'fd00::/64', '10.1/16'] } }] }),
    [
      'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.1.0.0/16": must be a strict subset of `cidr`',
      'spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "fd00::/64": must be a strict subset of `cidr`',
      'spec.ingress[0].from[0].ipBlock.except[2]: Invalid value: "10.1/16": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ],
  ],
  [
    'selectors that cannot be',
    'NetworkPolicy',
    policy({
      from: [
        { podSelector: { matchExpressions: [{ key: 'app', operator: 'Like', values: ['a'] }] } },
        { namespaceSelector: { matchExpressions: [{ key: 'app', operator: 'In' }] } },
        { podSelector: { matchExpressions: [{ key: 'app', operator: 'Exists', values: ['a'] }] } },
      ],
    }),
    [
      'spec.ingress[0].from[0].podSelector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator',
      "spec.ingress[0].from[1].namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
      "spec.ingress[0].from[2].podSelector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
    ],
  ],
  [
    'a peer that is nobody',
    'NetworkPolicy',
    policy({ from: [{}] }),
    ['spec.ingress[0].from[0]: Required value: must specify a peer'],
  ],
  [
    'a peer that is two',
    'NetworkPolicy',
    policy({ from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }),
    ['spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer'],
  ],
  [
    'an Ingress of nothing',
    'Ingress',
    { spec: {} },
    ['spec: Invalid value: []: either `defaultBackend` or `rules` must be specified'],
  ],
  [
    'a path without its type',
    'Ingress',
    ingress({ path: '/', backend }),
    ['spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified'],
  ],
  [
    'a path that is not absolute',
    'Ingress',
    ingress({ path: 'x', pathType: 'Exact', backend }),
    ['spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path'],
  ],
  [
    'an address of the other family',
    'EndpointSlice',
    slice({ endpoints: [{ addresses: ['fd00::1'] }] }),
    ['endpoints[0].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address'],
  ],
  [
    'too many endpoints',
    'EndpointSlice',
    slice({ endpoints: Array.from({ length: 1001 }, () => ({ addresses: ['10.0.0.1'] })) }),
    ['endpoints: Too many: 1001: must have at most 1000 items'],
  ],
  [
    'a loopback endpoint',
    'Endpoints',
    { subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ port: 1 }] }] },
    ['subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  ],
  [
    'a key with a slash',
    'ConfigMap',
    { data: { 'a/b': '' } },
    [
      "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ],
  ],
  [
    'a TLS Secret without its key',
    'Secret',
    { type: 'kubernetes.io/tls', data: { 'tls.crt': '' } },
    ['data[tls.key]: Required value'],
  ],
  ['a taint without effect', 'Node', { spec: { taints: [{ key: 'a' }] } }, ['spec.taints[0].effect: Required value']],
  [
    'an event in another namespace',
    'Event',
    { involvedObject: { namespace: 'shop' } },
    ['involvedObject.namespace: Invalid value: "shop": does not match event.namespace'],
  ],
];
for (const [name, kind, object, expected] of refused) {
  test(`refused: a ${kind} with ${name}`, () => assert.deepEqual(problems(kind, object), expected));
}

const updates: [name: string, kind: Kind, old: object, now: object, problems: string[]][] = [
  ['the image of a Pod may change', 'Pod', container({}), container({ image: 'x:2' }), []],
  [
    'the containers of a Pod may not',
    'Pod',
    container({}),
    pod({
      containers: [
        { name: 'a', image: 'x:1' },
        { name: 'b', image: 'x:1' },
      ],
    }),
    ['spec.containers: Forbidden: pod updates may not add or remove containers'],
  ],
  [
    'the selector of a Deployment may not',
    'Deployment',
    deployment({}),
    deployment({
      selector: { matchLabels: { app: 'web', x: 'y' } },
      template: { ...template, metadata: { labels: { app: 'web', x: 'y' } } },
    }),
    ['spec.selector: Invalid value: {"matchLabels":{"app":"web","x":"y"}}: field is immutable'],
  ],
  [
    'the address of a Service may not',
    'Service',
    service({ clusterIP: '10.96.0.7' }),
    service({ clusterIP: '10.96.0.8' }),
    ['spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set'],
  ],
  [
    'a Service may become an ExternalName',
    'Service',
    service({ clusterIP: '10.96.0.7' }),
    { spec: { type: 'ExternalName', externalName: 'a.b' } },
    [],
  ],
  [
    'an immutable ConfigMap may not',
    'ConfigMap',
    { immutable: true, data: { a: '1' } },
    { immutable: true, data: { a: '2' } },
    ['data: Forbidden: field is immutable when `immutable` is set'],
  ],
  [
    'the type of a Secret may not',
    'Secret',
    { type: 'a' },
    { type: 'b' },
    ['type: Invalid value: "b": field is immutable'],
  ],
  [
    'the addressType of a slice may not',
    'EndpointSlice',
    slice({}),
    slice({ addressType: 'IPv6' }),
    ['addressType: Invalid value: "IPv6": field is immutable'],
  ],
  [
    'the name may not',
    'ConfigMap',
    {},
    { metadata: { name: 'other' } },
    ['metadata.name: Invalid value: "other": field is immutable'],
  ],
  [
    'a finalizer may not come to what is being deleted',
    'ConfigMap',
    { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['a.b/c'] } },
    { metadata: { finalizers: ['a.b/c', 'a.b/d'] } },
    [
      'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ["a.b/d"]',
    ],
  ],
];
for (const [name, kind, old, now, expected] of updates) {
  test(`update: ${name}`, () => assert.deepEqual(problems(kind, now, old), expected));
}

test('a Pod of which something else changes says what', () => {
  const [problem, ...rest] = problems('Pod', pod({ hostNetwork: true }), pod({}));
  assert.match(
    problem!,
    /^spec: Forbidden: pod updates may not change fields other than .*\n {2}changed: spec\.hostNetwork$/s,
  );
  assert.deepEqual(rest, []);
});

test('a writer of a subresource answers for the metadata alone', () => {
  const row = kindRow('Pod');
  const object = prepared('Pod', { spec: {} });
  assert.deepEqual(validate(row, object, undefined, { subresource: 'status' }), []);
});

test('the refusal is a 422 Status in the words of Kubernetes, with all causes', () => {
  const row = kindRow('Deployment');
  const causes = validate(row, prepared('Deployment', { spec: {} }));
  const { status } = invalid(row, 'web', causes);
  assert.equal(
    status.message,
    'Deployment.apps "web" is invalid: [spec.selector: Required value, spec.template.spec.containers: Required value]',
  );
  assert.equal(status.code, 422);
  assert.equal(status.reason, 'Invalid');
  assert.deepEqual(status.details, {
    name: 'web',
    group: 'apps',
    kind: 'Deployment',
    causes: [
      { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.selector' },
      { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.template.spec.containers' },
    ],
  });
  const single = invalid(kindRow('Pod'), 'web', causes.slice(0, 1));
  assert.equal(single.message, 'Pod "web" is invalid: spec.selector: Required value');
});
