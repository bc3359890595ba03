// A cluster of three nodes out of plain objects, for tests of traces: dual stack, VXLAN, pods at fixed addresses.
import { formatIP, ipBytes } from '../addr/ip.ts';
import type {
  CalicoTier,
  EndpointSlice,
  Namespace,
  NetworkPolicy,
  Node,
  Pod,
  Service,
  ServiceAccount,
} from '../objects/types.ts';
import { PolicyEngine } from '../plan/policy/engine.ts';
import { dnsPod } from '../plan/policy/pod.ts';
import type { AnyPolicy } from '../plan/policy/read-policy.ts';
import { type ClusterParts, TracedCluster } from './cluster.ts';
import type { NodeKnows } from './node-view.ts';

export const NODES = ['node-1', 'node-2', 'node-3'] as const;
export const POD_CIDRS = ['10.244.0.0/16', 'fd00:244::/56'];
export const SERVICE_CIDRS = ['10.96.0.0/16', 'fd00:10:96::/112'];
export const NODE_CIDRS = ['172.30.0.0/24', 'fd00:30::/64'];
export const DNS_IPS = ['10.96.0.10', 'fd00:10:96::a'];
/** The machine's own leg on the network between the nodes: a client that is no part of the cluster. */
export const OUTSIDE = ['172.30.0.1', 'fd00:30::1'] as const;

export function nodeIPs(i: number): [string, string] {
  return [`172.30.0.${11 + i}`, `fd00:30::${11 + i}`];
}

export function podIPs(node: number, slot: number): [string, string] {
  return [`10.244.${node}.${slot + 1}`, formatIP(ipBytes(`fd00:244:0:${node}::${slot + 1}`))];
}

export function ownPodCIDRs(node: number): [string, string] {
  return [`10.244.${node}.0/24`, `fd00:244:0:${node}::/64`];
}

const meta = (name: string, namespace?: string, labels: Record<string, string> = {}) => ({
  name,
  ...(namespace !== undefined && { namespace }),
  labels,
  uid: `uid-${namespace ?? ''}-${name}`,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});

export function nodeObject(i: number, ready: 'True' | 'Unknown' = 'True'): Node {
  const addresses = nodeIPs(i).map((address) => ({ type: 'InternalIP', address }));
  const message = ready === 'True' ? 'ready' : 'Kubelet stopped posting node status.';
  const condition = { type: 'Ready', status: ready, reason: 'x', message };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: meta(NODES[i]!, undefined, { zone: `n${i + 1}` }),
    spec: { podCIDRs: ownPodCIDRs(i) },
    status: { addresses, conditions: [condition] },
  } as unknown as Node;
}

export interface PodWish {
  readonly node: number;
  readonly slot: number;
  readonly labels?: Record<string, string>;
  readonly namespace?: string;
  readonly ports?: readonly { name?: string; containerPort: number; protocol?: string; hostPort?: number }[];
  readonly ready?: boolean;
}

export function podObject(name: string, wish: PodWish): Pod {
  const { node, slot, labels = {}, namespace = 'shop', ports = [], ready = true } = wish;
  const spec = { nodeName: NODES[node]!, containers: [{ name: 'c', image: 'i', ports }] };
  const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
  const status = { phase: 'Running', podIPs: podIPs(node, slot).map((ip) => ({ ip })), conditions };
  return { apiVersion: 'v1', kind: 'Pod', metadata: meta(name, namespace, labels), spec, status } as unknown as Pod;
}

export function serviceObject(name: string, spec: object, namespace = 'shop', status: object = {}): Service {
  return { apiVersion: 'v1', kind: 'Service', metadata: meta(name, namespace), spec, status } as unknown as Service;
}

export interface EndpointWish {
  readonly pod: Pod;
  readonly conditions?: object;
  readonly hints?: object;
}

/** One slice a family. */
export function sliceObjects(
  service: Service,
  ports: readonly object[],
  endpoints: readonly EndpointWish[],
): EndpointSlice[] {
  const { name, namespace } = service.metadata;
  return (['IPv4', 'IPv6'] as const).map((addressType, family) => {
    const of = ({ pod, conditions = { ready: true }, hints }: EndpointWish) => ({
      addresses: [pod.status!.podIPs![family]!.ip],
      conditions,
      ...(hints && { hints }),
      nodeName: pod.spec.nodeName,
      targetRef: { kind: 'Pod', namespace: pod.metadata.namespace, name: pod.metadata.name },
    });
    const metadata = { ...meta(`${name}-${addressType}`, namespace), labels: { 'kubernetes.io/service-name': name } };
    const slice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata,
      addressType,
      ports,
      endpoints: endpoints.map(of),
    };
    return slice as unknown as EndpointSlice;
  });
}

export function policyObject(name: string, spec: object, namespace = 'shop'): NetworkPolicy {
  const metadata = meta(name, namespace);
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec } as unknown as NetworkPolicy;
}

export function namespaceObject(name: string, labels: Record<string, string> = {}): Namespace {
  const own = { ...labels, 'kubernetes.io/metadata.name': name };
  return { apiVersion: 'v1', kind: 'Namespace', metadata: meta(name, undefined, own) } as unknown as Namespace;
}

export interface Objects {
  readonly pods?: readonly Pod[];
  readonly services?: readonly Service[];
  readonly slices?: readonly EndpointSlice[];
  readonly policies?: readonly AnyPolicy[];
  readonly tiers?: readonly CalicoTier[];
  readonly accounts?: readonly ServiceAccount[];
  readonly namespaces?: readonly Namespace[];
  readonly nodes?: readonly Node[];
  /** Load balancer addresses by number of their node. */
  readonly claims?: Readonly<Record<number, readonly string[]>>;
}

export function engineOf(objects: Objects): PolicyEngine {
  const { pods = [], policies = [], namespaces = [], nodes = allNodes(), tiers = [], accounts = [] } = objects;
  const engine = new PolicyEngine();
  for (const { metadata } of namespaces) engine.setNamespace(metadata.name, metadata.labels ?? {});
  for (const node of nodes) engine.setNode(node);
  for (const tier of tiers) engine.setTier(tier);
  for (const { metadata } of accounts)
    engine.setServiceAccount(metadata.namespace!, metadata.name, metadata.labels ?? {});
  for (const pod of pods) engine.setPod(pod);
  for (const policy of policies) engine.setPolicy(policy);
  engine.setPod(dnsPod(DNS_IPS));
  return engine;
}

function allNodes(): Node[] {
  return NODES.map((_, i) => nodeObject(i));
}

export function nodeKnows(i: number, nodes: readonly Node[], claims: readonly string[] = []): NodeKnows {
  const facts = {
    nodeName: NODES[i]!,
    nodeIPs: nodeIPs(i),
    ownPodCIDRs: ownPodCIDRs(i),
    podCIDRs: POD_CIDRS,
    serviceCIDRs: SERVICE_CIDRS,
    dnsIPs: DNS_IPS,
  };
  const overlay = {
    nodeName: NODES[i]!,
    nodeIPs: nodeIPs(i),
    nodeLink: 'eth0',
    mtu: 1500,
    nodeCIDRs: NODE_CIDRS,
    segmentCIDRs: NODE_CIDRS,
    routers: [],
    overlay: { backend: 'vxlan', directRouting: false },
    vxlan: { vni: 1, port: 8472 },
  } as const;
  const others = nodes.filter(({ metadata }) => metadata.name !== NODES[i]);
  const remotes = others.map(({ metadata, status, spec }) => {
    return { name: metadata.name, ips: status!.addresses!.map(({ address }) => address), podCIDRs: spec!.podCIDRs! };
  });
  return { facts, overlay, remotes, claims };
}

export function clusterOf(objects: Objects, more: Partial<ClusterParts> = {}): TracedCluster {
  const { nodes = allNodes(), pods = [], services = [], slices = [], claims = {} } = objects;
  return new TracedCluster({
    nodes,
    pods,
    services,
    slices,
    engine: engineOf(objects),
    knows: nodes.map((_, i) => nodeKnows(i, nodes, claims[i])),
    proxyMode: 'nftables',
    placeOf: ({ metadata }) => ({ sandboxId: `${metadata.uid}-0`, netns: `/run/netns/${metadata.uid}` }),
    ...more,
  });
}
