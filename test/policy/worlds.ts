// Arbitrary small clusters, policies and flows, as the API would store them.
import fc from 'fast-check';
import type { LabelSelector } from '../../src/objects/select.ts';
import type { Namespace, NetworkPolicy, Node, Pod } from '../../src/objects/types.ts';
import type { ReferenceFlow } from './reference.ts';

export const NAMESPACES = ['x', 'y', 'z'] as const;
export const NODES = ['n1', 'n2'] as const;
const NODE_IPS = { n1: ['172.30.0.11', 'fd00:30::11'], n2: ['172.30.0.12', 'fd00:30::12'] } as const;
const OUTSIDE = ['203.0.113.9', '10.9.0.1', '2001:db8::9'];
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const PORTS = [79, 80, 81, 443, 8080];
const PORT_NAMES = ['web', 'admin'];
export const SLOTS = [0, 1, 2, 3, 4, 5, 6, 7];

const meta = (name: string, namespace: string | undefined, labels: Record<string, string>) => ({
  name,
  ...(namespace !== undefined && { namespace }),
  labels,
  uid: `uid-${namespace}-${name}`,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});

export const labels = fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('a', 'b', 'c'), { maxKeys: 2 });

const expression = fc.oneof(
  fc.record({
    key: fc.constantFrom('app', 'tier', 'kubernetes.io/metadata.name'),
    operator: fc.constantFrom('In', 'NotIn'),
    values: fc.subarray(['a', 'b', 'x', 'y'], { minLength: 1 }),
  }),
  fc.record({ key: fc.constantFrom('app', 'tier'), operator: fc.constantFrom('Exists', 'DoesNotExist') }),
);
const selector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constant({}),
  fc.record({ matchLabels: labels }),
  fc.record({ matchExpressions: fc.array(expression, { minLength: 1, maxLength: 2 }) }),
  fc.record({ matchLabels: labels, matchExpressions: fc.array(expression, { maxLength: 1 }) }),
);

const block = fc.constantFrom<{ cidr: string; except?: string[] }>(
  { cidr: '0.0.0.0/0' },
  { cidr: '::/0', except: ['fd00:244::/64'] },
  { cidr: '10.0.0.0/8', except: ['10.244.0.0/16'] },
  { cidr: '10.244.0.0/16', except: ['10.244.0.4/30', '10.244.0.0/31'] },
  { cidr: '10.244.0.2/32' },
  { cidr: '172.30.0.0/24', except: ['172.30.0.12/32'] },
  { cidr: 'fd00:244::/126' },
  { cidr: '203.0.113.7/24' },
);
const peer = fc.oneof(
  selector.map((podSelector) => ({ podSelector })),
  selector.map((namespaceSelector) => ({ namespaceSelector })),
  fc.record({ podSelector: selector, namespaceSelector: selector }),
  { weight: 2, arbitrary: block.map((ipBlock) => ({ ipBlock })) },
);
const protocol = fc.option(fc.constantFrom(...PROTOCOLS), { nil: undefined });
const port = fc.oneof(
  fc.record({ protocol }),
  fc.record({ protocol, port: fc.constantFrom<number | string>(...PORTS, ...PORT_NAMES) }),
  fc.record({ protocol, port: fc.constantFrom(79, 80), endPort: fc.constantFrom(80, 81, 8080) }),
);
const list = <T>(each: fc.Arbitrary<T>) => fc.option(fc.array(each, { maxLength: 2 }), { nil: undefined });
const types = fc.constantFrom(undefined, [], ['Ingress'], ['Egress'], ['Ingress', 'Egress']);

export function policyNamed(name: string): fc.Arbitrary<NetworkPolicy> {
  return fc
    .record({
      namespace: fc.constantFrom(...NAMESPACES),
      podSelector: selector,
      policyTypes: types,
      ingress: list(fc.record({ from: list(peer), ports: list(port) })),
      egress: list(fc.record({ to: list(peer), ports: list(port) })),
    })
    .map(({ namespace, ...spec }) => {
      // Absent fields are absent, not undefined.
      const plain = JSON.parse(JSON.stringify(spec)) as NonNullable<NetworkPolicy['spec']>;
      const metadata = meta(name, namespace, {}) as NetworkPolicy['metadata'];
      return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec: plain };
    });
}

/** The pod of a slot has always the same addresses, whatever its name and labels. */
export function podOfSlot(slot: number): fc.Arbitrary<Pod> {
  return fc
    .record({
      namespace: fc.constantFrom(...NAMESPACES),
      labels,
      nodeName: fc.constantFrom(...NODES),
      hostNetwork: fc.boolean().map((yes) => yes && slot === 7),
      phase: fc.constantFrom('Running', 'Running', 'Running', 'Pending', 'Succeeded'),
      web: fc.constantFrom(80, 8080),
      admin: fc.constantFrom(undefined, 81),
    })
    .map(({ namespace, labels: own, nodeName, hostNetwork, phase, web, admin }): Pod => {
      const ips = hostNetwork ? NODE_IPS[nodeName] : [`10.244.0.${slot + 1}`, `fd00:244::${slot + 1}`];
      const ports = [
        { name: 'web', containerPort: web },
        { name: 'web', containerPort: web + 1, protocol: 'UDP' },
        ...(admin ? [{ name: 'admin', containerPort: admin }] : []),
      ];
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: meta(`pod-${slot}`, namespace, own) as Pod['metadata'],
        spec: { nodeName, hostNetwork, containers: [{ name: 'c', image: 'i', ports }] },
        status: { phase, ...(phase !== 'Pending' && { podIPs: ips.map((ip) => ({ ip })) }) },
      };
    });
}

export function namespaceNamed(name: string): fc.Arbitrary<Namespace> {
  return labels.map((own) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: meta(name, undefined, { ...own, 'kubernetes.io/metadata.name': name }) as Namespace['metadata'],
  }));
}

export const nodes: Node[] = NODES.map((name) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: meta(name, undefined, {}) as Node['metadata'],
  status: { addresses: NODE_IPS[name].map((address) => ({ type: 'InternalIP', address })) },
}));

const v4 = [...SLOTS.map((slot) => `10.244.0.${slot + 1}`), ...NODES.map((name) => NODE_IPS[name][0])];
const v6 = [...SLOTS.map((slot) => `fd00:244::${slot + 1}`), ...NODES.map((name) => NODE_IPS[name][1])];
const addresses = [
  [...v4, ...OUTSIDE.filter((ip) => !ip.includes(':'))],
  [...v6, ...OUTSIDE.filter((ip) => ip.includes(':'))],
];

export const flow: fc.Arbitrary<ReferenceFlow> = fc.constantFrom(...addresses).chain((known) =>
  fc.record({
    from: fc.constantFrom(...known),
    to: fc.constantFrom(...known),
    protocol: fc.constantFrom(...PROTOCOLS),
    port: fc.constantFrom(...PORTS),
  }),
);

/** A cluster: every slot's pod there or not, every namespace, some policies. */
export const world = fc.record({
  pods: fc
    .subarray(SLOTS)
    .chain((slots) => fc.tuple(...slots.map(podOfSlot)))
    .map((pods): Pod[] => [...pods]),
  namespaces: fc.tuple(...NAMESPACES.map(namespaceNamed)).map((each): Namespace[] => [...each]),
  nodes: fc.constant(nodes),
  policies: fc
    .integer({ min: 0, max: 5 })
    .chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => policyNamed(`policy-${i}`))))
    .map((policies): NetworkPolicy[] => [...policies]),
});
