// Arbitrary clusters of three nodes with pods at fixed places, Services of every type, policies, and flows through them.
import fc from 'fast-check';
import type { CalicoTier, EndpointSlice, Namespace, Pod, Service, ServiceAccount } from '../../src/objects/types.ts';
import type { AnyPolicy } from '../../src/plan/policy/read-policy.ts';
import { nodeIPs, OUTSIDE, podIPs, podObject, serviceObject, sliceObjects } from '../../src/trace/cluster.fixture.ts';
import { labels, NAMESPACES } from '../policy/parts.ts';
import { policyNamed } from '../policy/plain-policies.ts';
import { ACCOUNTS, accountOf, anyPolicyNamed, TIER_NAMES, tierNamed } from '../policy/tiered-worlds.ts';
import { namespaceNamed } from '../policy/worlds.ts';

export const SLOTS = [0, 1, 2, 3].flatMap((slot) => [0, 1, 2].map((node) => ({ node, slot })));
/** On these every pod listens, over TCP and UDP. */
export const OPEN_PORTS = [80, 8080];
/** For it node-2 answers, whether a Service has it or not. */
export const BALANCED = ['172.30.0.200', 'fd00:30::200'] as const;
export const CLAIMS = { 1: BALANCED };
const EXTERNAL = ['203.0.113.20', '2001:db8::20'] as const;
const UNKNOWN_SERVICE = ['10.96.0.99', 'fd00:10:96::99'] as const;
const NO_POD = podIPs(1, 99);
const SERVICES = [0, 1, 2] as const;

export interface TraceWorld {
  readonly pods: readonly Pod[];
  readonly namespaces: readonly Namespace[];
  readonly policies: readonly AnyPolicy[];
  readonly tiers: readonly CalicoTier[];
  readonly accounts: readonly ServiceAccount[];
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
}

export interface TraceFlow {
  readonly src: string;
  readonly dst: string;
  readonly protocol: 'TCP' | 'UDP';
  readonly port: number;
}

export function podOfPlace(node: number, slot: number): fc.Arbitrary<Pod> {
  return fc
    .record({ namespace: fc.constantFrom(...NAMESPACES), labels, web: fc.constantFrom(80, 8080) })
    .map(({ namespace, labels: own, web }) => {
      const ports = [
        { name: 'web', containerPort: web },
        { name: 'web', containerPort: web, protocol: 'UDP' },
        { name: 'admin', containerPort: 81 },
      ];
      return podObject(`pod-${node}-${slot}`, { node, slot, namespace, labels: own, ports });
    });
}

const conditions = fc.constantFrom(
  { ready: true, serving: true, terminating: false },
  { ready: true, serving: true, terminating: false },
  { ready: false, serving: false, terminating: false },
  { ready: false, serving: true, terminating: true },
);

export function clusterIPs(i: number): [string, string] {
  return [`10.96.0.${20 + i}`, `fd00:10:96::${20 + i}`];
}

const policyWord = fc.constantFrom('Cluster', 'Local');

function serviceNamed(i: (typeof SERVICES)[number], pods: readonly Pod[]) {
  return fc
    .record({
      type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer'),
      target: fc.constantFrom(80, 8080, 82),
      external: fc.boolean(),
      externalTrafficPolicy: policyWord,
      internalTrafficPolicy: policyWord,
      sessionAffinity: fc.constantFrom('None', 'None', 'ClientIP'),
      sources: fc.constantFrom(
        undefined,
        ['10.244.0.0/24'],
        ['172.30.0.0/28', 'fd00:30::/124'],
        ['192.0.2.0/24', '2001:db8::/32'],
      ),
      near: fc.boolean(),
      endpoints: fc
        .subarray([...pods], { maxLength: 5 })
        .chain((some) => fc.tuple(...some.map((pod) => conditions.map((own) => ({ pod, conditions: own }))))),
    })
    .map(
      ({
        type,
        target,
        external,
        externalTrafficPolicy,
        internalTrafficPolicy,
        sessionAffinity,
        sources,
        near,
        endpoints,
      }) => {
        const isOpen = type !== 'ClusterIP';
        const ports = (['TCP', 'UDP'] as const).map((protocol) => ({
          name: `main-${protocol.toLowerCase()}`,
          protocol,
          port: 80,
          targetPort: target,
          ...(isOpen && { nodePort: 30080 + i }),
        }));
        const ips = clusterIPs(i);
        const spec = {
          type,
          clusterIP: ips[0],
          clusterIPs: ips,
          ports,
          internalTrafficPolicy,
          sessionAffinity,
          ...(isOpen && { externalTrafficPolicy }),
          ...(external && i === 1 && { externalIPs: [...EXTERNAL] }),
          ...(type === 'LoadBalancer' && sources && { loadBalancerSourceRanges: sources }),
        };
        const status =
          type === 'LoadBalancer' && i === 0 ? { loadBalancer: { ingress: BALANCED.map((ip) => ({ ip })) } } : {};
        const service = serviceObject(`service-${i}`, spec, 'x', status);
        const slicePorts = ports.map(({ name, protocol }) => ({ name, protocol, port: target }));
        const hinted = endpoints.map((each) =>
          near ? { ...each, hints: { forNodes: [{ name: each.pod.spec.nodeName }] } } : each,
        );
        return { service, slices: sliceObjects(service, slicePorts, hinted) };
      },
    );
}

function ruledBy(most: number, named: (name: string) => fc.Arbitrary<AnyPolicy>, tierNames: readonly string[]) {
  const policies = fc
    .integer({ min: 0, max: most })
    .chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => named(`policy-${i}`))));
  const tiers = fc.subarray([...tierNames]).chain((names) => fc.tuple(...names.map(tierNamed)));
  return fc.record({ policies, tiers });
}

export const world: fc.Arbitrary<TraceWorld> = fc
  .tuple(...SLOTS.map(({ node, slot }) => podOfPlace(node, slot)))
  .chain((pods) =>
    fc
      .record({
        namespaces: fc.tuple(...NAMESPACES.map(namespaceNamed)),
        // NetworkPolicies alone, or policies of all kinds with their tiers.
        ruled: fc.oneof(ruledBy(4, policyNamed, []), ruledBy(5, anyPolicyNamed, TIER_NAMES)),
        accounts: fc.tuple(...ACCOUNTS.map(accountOf)),
        served: fc.tuple(...SERVICES.map((i) => serviceNamed(i, pods))),
      })
      .map(({ namespaces, ruled, accounts, served }) => ({
        pods,
        namespaces,
        ...ruled,
        accounts,
        services: served.map(({ service }) => service),
        slices: served.flatMap(({ slices }) => slices),
      })),
  );

const sources = [...SLOTS.map(({ node, slot }) => podIPs(node, slot)), ...[0, 1, 2].map(nodeIPs), OUTSIDE];

/** Of one family: who sends, and what it sends to. */
export const flow: fc.Arbitrary<TraceFlow> = fc
  .constantFrom(0 as const, 1 as const)
  .chain((family) =>
    fc
      .record({
        src: fc.constantFrom(...sources).map((ips) => ips[family]!),
        target: fc.oneof(
          {
            weight: 4,
            arbitrary: fc
              .constantFrom(...SLOTS)
              .map(({ node, slot }) => ({ dst: podIPs(node, slot)[family]!, ports: [80, 81, 8080] })),
          },
          {
            weight: 5,
            arbitrary: fc
              .constantFrom(...SERVICES)
              .map((i) => ({ dst: clusterIPs(i)[family]!, ports: [80, 80, 80, 81] })),
          },
          {
            weight: 3,
            arbitrary: fc
              .constantFrom(0, 1, 2)
              .map((i) => ({ dst: nodeIPs(i)[family]!, ports: [30080, 30081, 30082, 81] })),
          },
          { weight: 2, arbitrary: fc.constant({ dst: BALANCED[family], ports: [80, 80, 81] }) },
          { weight: 1, arbitrary: fc.constant({ dst: EXTERNAL[family], ports: [80] }) },
          {
            weight: 1,
            arbitrary: fc.constantFrom(UNKNOWN_SERVICE[family], NO_POD[family]).map((dst) => ({ dst, ports: [80] })),
          },
        ),
        protocol: fc.constantFrom('TCP' as const, 'UDP' as const),
        pick: fc.nat(),
      })
      .map(({ src, target, protocol, pick }) => ({
        src,
        dst: target.dst,
        protocol,
        port: target.ports[pick % target.ports.length]!,
      })),
  )
  // Whatever else the machine has, it has no route there.
  .filter(({ src, dst }) => !isIn(OUTSIDE, src) || !isIn(EXTERNAL, dst));

function isIn(list: readonly string[], ip: string): boolean {
  return list.includes(ip);
}
