// Arbitrary small clusters, policies and flows, as the API would store them.
import fc from 'fast-check';
import type { CalicoTier, Namespace, Node, Pod, ServiceAccount } from '../../src/objects/types.ts';
import type { AnyPolicy } from '../../src/plan/policy/read-policy.ts';
import { labels, meta, NAMESPACES, NODE_IPS, NODES, OUTSIDE, PORTS, PROTOCOLS, SLOTS } from './parts.ts';
import { policyNamed } from './plain-policies.ts';
import type { ReferenceFlow, World } from './reference.ts';
import { ACCOUNTS, accountOf, anyPolicyNamed, TIER_NAMES, tierNamed } from './tiered-worlds.ts';

/** The pod of a slot has always the same addresses, whatever its name and labels. */
export function podOfSlot(slot: number): fc.Arbitrary<Pod> {
  return fc
    .record({
      namespace: fc.constantFrom(...NAMESPACES),
      labels,
      nodeName: fc.constantFrom(...NODES),
      hostNetwork: fc.boolean().map((yes) => yes && slot === 7),
      phase: fc.constantFrom(...Array<string>(8).fill('Running'), 'Pending', 'Succeeded'),
      web: fc.constantFrom(80, 8080),
      admin: fc.constantFrom(undefined, 81),
      serviceAccountName: fc.constantFrom(undefined, 'build'),
    })
    .map(({ namespace, labels: own, nodeName, hostNetwork, phase, web, admin, serviceAccountName }): Pod => {
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
        spec: {
          nodeName,
          hostNetwork,
          ...(serviceAccountName && { serviceAccountName }),
          containers: [{ name: 'c', image: 'i', ports }],
        },
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
  metadata: meta(name, undefined, { zone: name }) as Node['metadata'],
  status: { addresses: NODE_IPS[name].map((address) => ({ type: 'InternalIP', address })) },
}));

const v4 = [...SLOTS.map((slot) => `10.244.0.${slot + 1}`), ...NODES.map((name) => NODE_IPS[name][0])];
const v6 = [...SLOTS.map((slot) => `fd00:244::${slot + 1}`), ...NODES.map((name) => NODE_IPS[name][1])];
const addresses = [
  [...v4, ...OUTSIDE.filter((ip) => !ip.includes(':'))],
  [...v6, ...OUTSIDE.filter((ip) => ip.includes(':'))],
];

const overPorts = fc.record({ protocol: fc.constantFrom(...PROTOCOLS), port: fc.constantFrom(...PORTS) });

export const flow: fc.Arbitrary<ReferenceFlow> = fc.constantFrom(...addresses).chain((known) => {
  const ping = fc.constant({ protocol: known === addresses[0] ? 'ICMP' : 'ICMPv6', port: 0 });
  // Mostly between pods.
  const end = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...known.slice(0, SLOTS.length)) },
    fc.constantFrom(...known),
  );
  const ends = fc.record({ from: end, to: end });
  return fc
    .tuple(ends, fc.oneof({ weight: 6, arbitrary: overPorts }, ping))
    .map(([between, what]) => ({ ...between, ...what }));
});

const clusterOf = (policies: fc.Arbitrary<AnyPolicy[]>, tiers: fc.Arbitrary<CalicoTier[]>) =>
  fc.record({
    pods: fc
      .subarray(SLOTS, { minLength: 4 })
      .chain((slots) => fc.tuple(...slots.map(podOfSlot)))
      .map((pods): Pod[] => [...pods]),
    namespaces: fc.tuple(...NAMESPACES.map(namespaceNamed)).map((each): Namespace[] => [...each]),
    nodes: fc.constant(nodes),
    policies,
    tiers,
    accounts: fc.tuple(...ACCOUNTS.map(accountOf)).map((each): ServiceAccount[] => [...each]),
  });

const several = <T>(most: number, each: (i: number) => fc.Arbitrary<T>) =>
  fc
    .integer({ min: 0, max: most })
    .chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => each(i))))
    .map((list): T[] => [...list]);

/** A cluster: every slot's pod there or not, every namespace, some NetworkPolicies. */
export const plainWorld: fc.Arbitrary<World> = clusterOf(
  several(5, (i) => policyNamed(`policy-${i}`)),
  fc.constant([]),
);

/** The same with policies of all kinds. */
export const tieredWorld: fc.Arbitrary<World> = clusterOf(
  several(6, (i) => anyPolicyNamed(`policy-${i}`)),
  fc
    .subarray(TIER_NAMES)
    .chain((names) => fc.tuple(...names.map(tierNamed)))
    .map((list): CalicoTier[] => [...list]),
);

export const world = fc.oneof(plainWorld, { weight: 2, arbitrary: tieredWorld });
