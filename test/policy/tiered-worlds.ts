// Arbitrary ClusterNetworkPolicies and Calico policies, tiers and service accounts.
import fc from 'fast-check';
import type { CalicoTier, ServiceAccount } from '../../src/objects/types.ts';
import type { AnyPolicy } from '../../src/plan/policy/read-policy.ts';
import { annotations, labels, list, meta, NAMESPACES, PORT_NAMES, selector } from './parts.ts';
import { policyNamed } from './plain-policies.ts';

const optional = <T>(each: fc.Arbitrary<T>) => fc.option(each, { nil: undefined });
/** Absent fields are absent, not undefined. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
const seldom = <T>(each: fc.Arbitrary<T>) => fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, each);
const some = <T>(each: fc.Arbitrary<T>, maxLength = 2) => fc.array(each, { minLength: 1, maxLength });

const pods = fc.record({ pods: fc.record({ namespaceSelector: selector, podSelector: selector }) });
const inNamespaces = fc.oneof(fc.constant({}), selector).map((namespaces) => ({ namespaces }));
const cidr = fc.constantFrom('0.0.0.0/0', '::/0', '10.244.0.0/30', '10.0.0.0/8', 'fd00:244::/126', '172.30.0.11/32');
const networks = fc.uniqueArray(cidr, { minLength: 1, maxLength: 2 }).map((each) => ({ networks: each }));
const nodesOf = fc
  .constantFrom({}, { matchLabels: { zone: 'n1' } }, { matchLabels: { zone: 'nowhere' } })
  .map((nodes) => ({ nodes }));

const port = fc.oneof(
  fc.constantFrom(79, 80, 81, 8080).map((number) => ({ destinationPort: { number } })),
  fc.constantFrom({ start: 79, end: 80 }, { start: 80, end: 8081 }).map((range) => ({ destinationPort: { range } })),
);
const numbered = fc.oneof(
  port.map((tcp) => ({ tcp })),
  port.map((udp) => ({ udp })),
  port.map((sctp) => ({ sctp })),
);
const named = fc.constantFrom(...PORT_NAMES).map((destinationNamedPort) => ({ destinationNamedPort }));
const action = fc.constantFrom('Accept', 'Deny', 'Pass');
const ingressRule = fc.record({
  action,
  from: some(fc.oneof(pods, inNamespaces)),
  protocols: optional(some(fc.oneof(numbered, named))),
});
const egressRule = fc.oneof(
  fc.record({ action, to: some(fc.oneof(pods, inNamespaces)), protocols: optional(some(fc.oneof(numbered, named))) }),
  // Addresses have no names for ports: the API refuses them together.
  fc.record({ action, to: some(fc.oneof(pods, networks, nodesOf)), protocols: optional(some(numbered)) }),
);

function clusterPolicyNamed(name: string): fc.Arbitrary<AnyPolicy> {
  return fc
    .record({
      tier: fc.constantFrom('Admin', 'Baseline'),
      priority: fc.constantFrom(0, 10, 10, 1000),
      subject: fc.oneof(inNamespaces, pods),
      ingress: list(ingressRule),
      egress: list(egressRule),
    })
    .chain((spec) => objectOf('policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy', name, undefined, spec));
}

const label = fc.constantFrom('app', 'tier', 'projectcalico.org/namespace', 'projectcalico.org/serviceaccount');
const value = fc.constantFrom('"a"', "'b'", '"x"', '"build"');
const term: fc.Arbitrary<string> = fc.oneof(
  fc
    .tuple(label, fc.constantFrom('==', '!=', 'contains', 'starts with', 'ends with'), value)
    .map((parts) => parts.join(' ')),
  fc
    .tuple(label, fc.constantFrom('in', 'not in'), value, value)
    .map(([name, word, a, b]) => `${name} ${word} {${a}, ${b}}`),
  label.map((name) => `has(${name})`),
  label.map((name) => `!has(${name})`),
  fc.constant('all()'),
);
export const calicoSelector: fc.Arbitrary<string> = fc.oneof(
  term,
  fc.tuple(term, fc.constantFrom('&&', '||'), term).map((parts) => parts.join(' ')),
  fc.tuple(term, term, term).map(([a, b, c]) => `!(${a} && ${b}) || ${c}`),
);
const namespaceSelector = fc.constantFrom(
  'all()',
  'global()',
  'projectcalico.org/name == "x"',
  'app in {"a", "b"}',
  '!has(tier)',
);
const nets = fc.uniqueArray(fc.oneof(cidr, fc.constantFrom('10.244.0.2', 'fd00:244::2')), {
  minLength: 1,
  maxLength: 2,
});
const entity = fc.record({
  nets: seldom(nets),
  notNets: seldom(nets),
  selector: seldom(calicoSelector),
  notSelector: seldom(calicoSelector),
  namespaceSelector: optional(namespaceSelector),
  serviceAccounts: seldom(fc.oneof(fc.constant({ names: ['build'] }), fc.constant({ selector: 'app == "a"' }))),
});
const portText = fc.constantFrom<number | string>(80, 8080, '79:80', '81:9000', ...PORT_NAMES);
const protocols = fc.oneof(
  fc.constant({}),
  fc.record({ protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'), ports: optional(some(portText)) }),
  fc.record({
    protocol: fc.constantFrom('TCP', 'UDP'),
    ports: optional(some(fc.constantFrom<number | string>(80, '79:8080'))),
    notPorts: some(fc.constantFrom<number | string>(80, '80:81', '8000:9000')),
  }),
  fc.record({ notProtocol: fc.constantFrom('TCP', 'UDP') }),
  fc.record({ protocol: fc.constant('ICMP') }),
);

function calicoRules(direction: 'ingress' | 'egress') {
  const parts = fc.tuple(
    fc.constantFrom('Allow', 'Allow', 'Deny', 'Pass', 'Log'),
    seldom(fc.constantFrom(4, 6)),
    seldom(entity),
    protocols,
  );
  return list(
    parts.map(([what, ipVersion, peer, traffic]) => {
      const { ports, notPorts, ...rest } = traffic as { ports?: unknown; notPorts?: unknown };
      const own = { ports, notPorts };
      const ends = direction === 'ingress' ? { source: peer, destination: own } : { destination: { ...peer, ...own } };
      return { action: what, ipVersion, ...rest, ...ends };
    }),
  );
}

const calicoSpec = {
  order: fc.constantFrom(undefined, 1, 1000, 2000),
  tier: fc.constantFrom(undefined, undefined, 'early', 'late', 'kube-admin'),
  selector: seldom(calicoSelector),
  serviceAccountSelector: seldom(fc.constantFrom('app == "a"', 'projectcalico.org/name == "build"')),
  types: fc.constantFrom(undefined, undefined, ['Ingress'], ['Egress'], ['Ingress', 'Egress']),
  ingress: calicoRules('ingress'),
  egress: calicoRules('egress'),
};

function calicoPolicyNamed(name: string): fc.Arbitrary<AnyPolicy> {
  const local = fc
    .tuple(fc.constantFrom(...NAMESPACES), fc.record(calicoSpec))
    .chain(([namespace, spec]) => objectOf('projectcalico.org/v3', 'NetworkPolicy', name, namespace, spec));
  const global = fc
    .record({ ...calicoSpec, namespaceSelector: optional(namespaceSelector.filter((text) => text !== 'global()')) })
    .chain((spec) => objectOf('projectcalico.org/v3', 'GlobalNetworkPolicy', name, undefined, spec));
  return fc.oneof(local, global);
}

function objectOf(
  apiVersion: string,
  kind: string,
  name: string,
  namespace: string | undefined,
  spec: object,
): fc.Arbitrary<AnyPolicy> {
  return annotations.map((notes) => {
    const metadata = { ...meta(name, namespace, {}), ...(notes && { annotations: notes }) };
    return { apiVersion, kind, metadata, spec: plain(spec) } as unknown as AnyPolicy;
  });
}

export function anyPolicyNamed(name: string): fc.Arbitrary<AnyPolicy> {
  return fc.oneof(policyNamed(name, annotations), clusterPolicyNamed(name), calicoPolicyNamed(name));
}

/** `late` has the order of none. */
export const TIER_NAMES = ['early', 'late'];

export function tierNamed(name: string): fc.Arbitrary<CalicoTier> {
  const order = name === 'early' ? fc.constantFrom(1, 1000, 2000) : fc.constant(undefined);
  return fc.record({ order, defaultAction: fc.constantFrom('Pass', 'Deny', undefined) }).map((spec) => {
    const metadata = meta(name, undefined, {}) as CalicoTier['metadata'];
    return { apiVersion: 'projectcalico.org/v3', kind: 'Tier', metadata, spec: plain(spec) };
  });
}

/** `namespace/name` */
export const ACCOUNTS = ['x/build', 'y/build', 'x/default'];

export function accountOf(key: string): fc.Arbitrary<ServiceAccount> {
  const [namespace, name] = key.split('/') as [string, string];
  return labels.map((own) => {
    const metadata = meta(name, namespace, own) as ServiceAccount['metadata'];
    return { apiVersion: 'v1', kind: 'ServiceAccount', metadata };
  });
}
