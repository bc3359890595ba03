// Room trace: all that a packet may meet: nodes with their plans, pods, Services, policies.
import type { IP } from '../addr/ip.ts';
import { prefixContains } from '../addr/prefix.ts';
import type { EndpointSlice, Node, Pod, Service } from '../objects/types.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import { type NodeKnows, NodeView, type PlacedPod, type RouteFound } from './node-view.ts';

export interface ClusterParts {
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly engine: PolicyEngine;
  readonly knows: readonly NodeKnows[];
  /** Where pods' sockets find Services: `ebpf` before there is a packet. */
  readonly proxyMode: 'nftables' | 'ebpf';
  /** The id of a pod's sandbox, and the path of its namespace. */
  readonly placeOf: (pod: Pod) => { readonly sandboxId: string; readonly netns: string };
  /** Whether somebody listens on the port there (a pod, or a node's name); undefined: nobody can say. */
  readonly listens?: (at: PlacedPod | string, protocol: string, port: number, ip: IP) => boolean | undefined;
}

export class TracedCluster {
  readonly parts: ClusterParts;
  readonly views: ReadonlyMap<string, NodeView>;
  readonly slices: ReadonlyMap<string, readonly EndpointSlice[]>;
  readonly #nodes: ReadonlyMap<string, Node>;
  readonly #placed: ReadonlyMap<string, readonly PlacedPod[]>;

  constructor(parts: ClusterParts) {
    this.parts = parts;
    this.slices = Map.groupBy(parts.slices, serviceOf);
    this.#nodes = new Map(parts.nodes.map((node) => [node.metadata.name, node]));
    const placed = parts.pods.filter(hasPlace).map((pod) => ({ pod, ips: ipsOf(pod), ...parts.placeOf(pod) }));
    this.#placed = Map.groupBy(placed, ({ pod }) => pod.spec.nodeName!);
    const { nodes, services } = parts;
    const views = parts.knows.map((knows) => {
      const pods = this.podsOf(knows.facts.nodeName);
      return new NodeView(knows, { nodes, services, slices: this.slices, pods });
    });
    this.views = new Map(views.map((view) => [view.name, view]));
  }

  get nodes(): NodeView[] {
    return [...this.views.values()];
  }

  podAt(ip: IP): (PlacedPod & { readonly view: NodeView }) | undefined {
    for (const view of this.nodes) {
      const found = view.podWith(ip);
      if (found) return { ...found, view };
    }
    return undefined;
  }

  /** Those of a node that have addresses of their own. */
  podsOf(node: string): readonly PlacedPod[] {
    return this.#placed.get(node) ?? [];
  }

  nodeAt(ip: IP): NodeView | undefined {
    return this.nodes.find(({ knows }) => knows.facts.nodeIPs.includes(ip));
  }

  /** The node that takes packets for the address in: its own, or a load balancer's for which it answers. */
  holderOf(ip: IP): NodeView | undefined {
    return this.nodeAt(ip) ?? this.nodes.find(({ knows }) => knows.claims.includes(ip));
  }

  /** To which a route to other nodes' pods leads. */
  nodeBehind({ cause }: RouteFound): NodeView | undefined {
    return cause.kind === 'Node' ? this.views.get(cause.name) : undefined;
  }

  /** The node at which a packet from beyond the cluster comes in. */
  entranceFor(ip: IP): NodeView | undefined {
    const leads = ({ knows }: NodeView) => knows.facts.ownPodCIDRs.some((cidr) => prefixContains(cidr, ip));
    const isService = this.nodes[0]?.knows.facts.serviceCIDRs.some((cidr) => prefixContains(cidr, ip));
    const door = isService ? this.nodes.find(({ name }) => this.whyNotReady(name) === undefined) : undefined;
    return this.holderOf(ip) ?? this.nodes.find(leads) ?? door;
  }

  /** Words for what is wrong with a node; undefined: it is Ready. */
  whyNotReady(name: string): string | undefined {
    const ready = this.#nodes.get(name)?.status?.conditions?.find(({ type }) => type === 'Ready');
    if (!ready || ready.status === 'True') return undefined;
    return ready.message || ready.reason || 'not Ready';
  }

  /** The Service that has the address (of any kind), and where it has it. */
  serviceAt(ip: IP): Service | undefined {
    return this.parts.services.find(({ spec, status }) => {
      const balanced = status?.loadBalancer?.ingress?.map((each) => each.ip) ?? [];
      return [...(spec.clusterIPs ?? []), spec.clusterIP, ...(spec.externalIPs ?? []), ...balanced].includes(ip);
    });
  }
}

function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata.namespace}/${metadata.labels?.['kubernetes.io/service-name']}`;
}

/** On the network, under addresses of its own. */
function hasPlace({ spec, status }: Pod): boolean {
  const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  return !spec.hostNetwork && !ended && spec.nodeName !== undefined && (status?.podIPs?.length ?? 0) > 0;
}

function ipsOf({ status }: Pod): IP[] {
  return (status?.podIPs ?? []).map(({ ip }) => ip);
}
