// What may become of a flow? Written straight from the text of the Service and NetworkPolicy APIs, sentence by sentence, with no thought of
// speed, and with nothing of src/plan: the judge of `podwire trace` and of the kernel.
import type { EndpointSlice, Pod, Service } from '../../src/objects/types.ts';
import { NODES, nodeIPs, nodeObject } from '../../src/trace/cluster.fixture.ts';
import { podWith, sideAllows, type World, within } from '../policy/reference.ts';
import { CLAIMS, OPEN_PORTS, type TraceFlow, type TraceWorld } from './worlds.ts';

/** `delivered x/pod-0-1:80 from 10.244.0.1`, `refused`, `unreachable` or `lost`. */
export type Outcome = string;

interface Packet {
  readonly src: string;
  readonly dst: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
}

const POD_CIDRS = ['10.244.0.0/16', 'fd00:244::/56'];
const SERVICE_CIDRS = ['10.96.0.0/16', 'fd00:10:96::/112'];
const NODE_CIDRS = ['172.30.0.0/24', 'fd00:30::/64'];

export function outcomesOf(world: TraceWorld, flow: TraceFlow): Set<Outcome> {
  // Dry runs do nothing.
  const policies = world.policies.filter(({ metadata }) => metadata.annotations?.['podwire.io/mode'] !== 'staged');
  const all: World = { ...world, policies, nodes: NODES.map((_, i) => nodeObject(i)) };
  return new Set(new Reference(world, all).from(flow));
}

class Reference {
  readonly #world: TraceWorld;
  readonly #policies: World;

  constructor(world: TraceWorld, policies: World) {
    this.#world = world;
    this.#policies = policies;
  }

  from(packet: Packet): Outcome[] {
    const pod = podWith(this.#policies, packet.src);
    if (pod) return this.#at(pod.spec.nodeName!, packet, 'pod');
    const node = NODES.find((_, i) => nodeIPs(i).includes(packet.src));
    if (node) return this.#at(node, packet, 'self');
    // The machine sends what is for a pod to its node, what is for a Service to the first.
    const entrance =
      this.#holder(packet.dst) ??
      this.#podNode(packet.dst) ??
      (inAny(SERVICE_CIDRS, packet.dst) ? NODES[0] : undefined);
    return entrance ? this.#at(entrance, packet, 'wire') : ['lost'];
  }

  #holder(ip: string): string | undefined {
    const own = NODES.find((_, i) => nodeIPs(i).includes(ip));
    const claimed = Object.entries(CLAIMS).find(([, ips]) => (ips as readonly string[]).includes(ip));
    return own ?? (claimed && NODES[Number(claimed[0])]);
  }

  #podNode(ip: string): string | undefined {
    return NODES.find((_, i) => inAny([`10.244.${i}.0/24`, `fd00:244:0:${i}::/64`], ip));
  }

  #at(node: string, packet: Packet, entry: 'pod' | 'self' | 'wire'): Outcome[] {
    const service = this.#serviceAt(node, packet);
    if (!service) {
      // "A virtual IP": nothing else has an address of the range.
      if (inAny(SERVICE_CIDRS, packet.dst)) return ['refused'];
      return this.#on(node, packet, packet, entry, false);
    }
    // In-cluster traffic to external addresses has "Cluster" semantics; a pod of this cluster and the node itself are inside.
    const isInside = entry !== 'wire' || inAny(POD_CIDRS, packet.src);
    const local =
      service.kind === 'cluster'
        ? service.spec.internalTrafficPolicy === 'Local'
        : service.spec.externalTrafficPolicy === 'Local' && !isInside;
    const ranges = (service.spec.loadBalancerSourceRanges ?? []).filter(
      (cidr) => cidr.includes(':') === packet.src.includes(':'),
    );
    const everywhere = this.#endpoints(service, packet, node, false);
    const chosen = local ? this.#endpoints(service, packet, node, true) : everywhere;
    // "If the field is set, traffic through the load balancer is restricted to the specified client IPs".
    const isKeptOut = service.kind === 'balancer' && ranges.length > 0 && !inAny(ranges, packet.src);
    // With the policy Local and endpoints elsewhere alone, traffic is dropped; with none anywhere it is rejected.
    if (chosen.length === 0) return [local && everywhere.length > 0 ? 'lost' : isKeptOut ? 'lost' : 'refused'];
    if (isKeptOut) return ['lost'];
    return chosen.flatMap((endpoint) => {
      const to = { ...packet, dst: endpoint.ip, port: endpoint.port };
      // "Local preserves the client source IP"; else what has come from elsewhere must go back through this node.
      const keeps = entry === 'pod' || (local && !isInside && service.kind !== 'cluster');
      const isHairpin = endpoint.ip === packet.src;
      return this.#on(node, packet, to, entry, !keeps || isHairpin);
    });
  }

  #serviceAt(node: string, { dst, port, protocol }: Packet) {
    const i = NODES.indexOf(node as (typeof NODES)[number]);
    for (const service of this.#world.services) {
      const { spec, status } = service;
      const balanced = spec.type === 'LoadBalancer' ? (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip) : [];
      for (const each of spec.ports ?? []) {
        if (each.protocol !== protocol) continue;
        const found = (kind: 'cluster' | 'external' | 'balancer' | 'node') => ({
          kind,
          spec,
          service,
          portName: each.name ?? '',
        });
        if (each.port === port && spec.clusterIPs?.includes(dst)) return found('cluster');
        if (each.port === port && spec.externalIPs?.includes(dst)) return found('external');
        if (each.port === port && balanced.includes(dst)) return found('balancer');
        if (each.nodePort === port && nodeIPs(i).includes(dst)) return found('node');
      }
    }
    return undefined;
  }

  /** "ready": may receive traffic. Where none is, those that are terminating and still serve. */
  #endpoints(
    { service, portName }: { service: Service; portName: string },
    { src, protocol }: Packet,
    node: string,
    local: boolean,
  ) {
    const type = src.includes(':') ? 'IPv6' : 'IPv4';
    const own = this.#world.slices.filter(
      (slice: EndpointSlice) =>
        slice.addressType === type &&
        slice.metadata.namespace === service.metadata.namespace &&
        slice.metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name,
    );
    const all = own.flatMap((slice) => {
      const port = slice.ports?.find((each) => each.name === portName && each.protocol === protocol)?.port;
      return port ? (slice.endpoints ?? []).map((endpoint) => ({ endpoint, ip: endpoint.addresses[0]!, port })) : [];
    });
    const near = local ? all.filter(({ endpoint }) => endpoint.nodeName === node) : all;
    const ready = near.filter(({ endpoint }) => endpoint.conditions?.ready !== false);
    const ending = near.filter(({ endpoint: { conditions } }) => conditions?.serving && conditions.terminating);
    const usable = ready.length > 0 ? ready : ending;
    // Hints: only where every endpoint has them, and some are for this node. The policy Local goes before them.
    const hintsHold = !local && ready.length > 0 && usable.every(({ endpoint }) => endpoint.hints?.forNodes?.length);
    const hinted = hintsHold
      ? usable.filter(({ endpoint }) => endpoint.hints!.forNodes!.some(({ name }) => name === node))
      : [];
    return hinted.length > 0 ? hinted : usable;
  }

  /** The way of a packet whose destination is what it will be, from this node on. `masked`: under the node's own address. */
  #on(node: string, before: Packet, packet: Packet, entry: 'pod' | 'self' | 'wire', masked: boolean): Outcome[] {
    const i = NODES.indexOf(node as (typeof NODES)[number]);
    const isOwn = this.#holder(packet.dst) === node;
    // A node must know a way, for what it sends itself already to what the client has asked for.
    const asked = entry === 'self' ? before.dst : packet.dst;
    const isExternal = this.#world.services.some(({ spec }) => spec.externalIPs?.includes(asked));
    if (!isExternal && !this.#hasWay(node, asked)) return ['unreachable'];
    // Egress is judged on the sender's node, for what leaves it; what the node itself takes in is its own pods' always.
    if (entry === 'pod' && !isOwn && !this.#allows(packet, 'Egress')) return ['lost'];
    if (isOwn) return ['refused'];
    const src = masked && entry !== 'self' ? nodeIPs(i)[packet.src.includes(':') ? 1 : 0] : before.src;
    const pod = podWith(this.#policies, packet.dst);
    if (pod) {
      const isHere = pod.spec.nodeName === node;
      // Judged where the pod is, before this node puts its own address in where that is the same node.
      const seen = { ...packet, src: isHere ? before.src : src };
      const free = isHere && entry === 'self';
      if (!free && !this.#allows(seen, 'Ingress')) return ['lost'];
      return [this.#delivered(pod, { ...packet, src })];
    }
    const next = this.#holder(packet.dst) ?? this.#podNode(packet.dst);
    return next ? this.#at(next, { ...packet, src }, 'wire') : ['lost'];
  }

  #hasWay(node: string, ip: string): boolean {
    if (inAny(POD_CIDRS, ip)) return this.#podNode(ip) !== node || podWith(this.#policies, ip) !== undefined;
    return inAny([...NODE_CIDRS, ...SERVICE_CIDRS], ip);
  }

  #allows({ src, dst, protocol, port }: Packet, type: 'Ingress' | 'Egress'): boolean {
    return sideAllows(this.#policies, { from: src, to: dst, protocol, port }, type);
  }

  #delivered(pod: Pod, { port, src }: Packet): Outcome {
    if (!OPEN_PORTS.includes(port)) return 'refused';
    return `delivered ${pod.metadata.namespace}/${pod.metadata.name}:${port} from ${src}`;
  }
}

function inAny(cidrs: readonly string[], ip: string): boolean {
  return cidrs.some((cidr) => within(cidr, ip));
}
