// Room plan: the way to the pods of other nodes, by the backend that the cluster has chosen.
import { type Family, familyOf, type IP } from '../../addr/ip.ts';
import { type CIDR, networkOf, parsePrefix, prefixContains } from '../../addr/prefix.ts';
import type { KernelItem } from '../../kernel/items.ts';
import { fastRoutes, fastWires } from '../fast-path.ts';
import type { Fragment } from '../plan.ts';
import type { OverlayBackend, OverlayFacts, OverlayName, OverlaySettings, RemoteNode, Way } from './backend.ts';
import { hostGw } from './host-gw.ts';
import { ipip } from './ipip.ts';
import { ipipEbpf } from './ipip-ebpf.ts';
import { legNeighbours } from './leg-neighbours.ts';
import { none } from './none.ts';
import { udp } from './udp.ts';
import { vxlan } from './vxlan.ts';

const BACKENDS: Readonly<Record<OverlayName, OverlayBackend>> = { vxlan, 'host-gw': hostGw, ipip, udp, none };

export const OVERLAY_NAMES = Object.keys(BACKENDS) as readonly OverlayName[];

export function backendOf({ backend, datapath }: OverlaySettings): OverlayBackend {
  return backend === 'ipip' && datapath === 'ebpf' ? ipipEbpf : BACKENDS[backend];
}

export function underlayOf(nodeIPs: readonly IP[]): Family {
  return familyOf(nodeIPs[0]!);
}

/** What is left of the fabric's MTU for pods. Direct routes do not widen it: a pod does not know whom it will meet. */
export function overlayMtu({ mtu, nodeIPs, overlay }: Pick<OverlayFacts, 'mtu' | 'nodeIPs' | 'overlay'>): number {
  return mtu - backendOf(overlay).overhead(underlayOf(nodeIPs));
}

/** Key `overlay`: this node's own end. */
export function planOverlay(facts: OverlayFacts): Fragment {
  const items = [
    ...nodesBehindRouter(facts),
    ...legNeighbours(facts, facts.routers),
    ...backendOf(facts.overlay).own(facts),
    ...(facts.fastPath ? fastWires(facts) : []),
  ];
  return { cause: { kind: 'Node', name: facts.nodeName }, items };
}

/** Nodes of other segments. */
function nodesBehindRouter({ nodeCIDRs, segmentCIDRs, routers, nodeLink, nodeIPs }: OverlayFacts): KernelItem[] {
  const beyond = nodeCIDRs.filter((cidr) => !segmentCIDRs.includes(cidr));
  return beyond.flatMap((dst) => {
    const via = ofFamily(routers, familyOfCIDR(dst));
    const src = ofFamily(nodeIPs, familyOfCIDR(dst));
    if (via === undefined) return [];
    return [{ kind: 'route', dst: networkOf(dst), type: 'unicast', via, link: nodeLink, ...(src && { src }) } as const];
  });
}

/**
 * Key `node/<name>`. Undefined while the node has no address or no pod prefix. `other`: while the cluster goes from one backend to
 * another, the one by which the node sends already, or still.
 */
export function planRemoteNode(facts: OverlayFacts, node: RemoteNode, other?: OverlaySettings): Fragment | undefined {
  const underlay = underlayOf(facts.nodeIPs);
  const remote = ofFamily(node.ips, underlay);
  if (remote === undefined || node.podCIDRs.length === 0) return undefined;
  const chosen = backendOf(facts.overlay);
  const ways = waysTo(facts, node, remote);
  const direct = new Set(ways.filter((way) => isDirect(facts, way)));
  const carried = ways.filter((way) => !direct.has(way) && chosen.carries(familyOfCIDR(way.podCIDR), underlay));
  const items: KernelItem[] = [
    ...legNeighbours(facts, node.ips),
    ...(carried.length > 0 ? chosen.peer(facts, remote) : []),
    ...ways.flatMap((way) => {
      if (direct.has(way)) return hostGw.way(facts, way);
      return carried.includes(way) ? narrowed(chosen.way(facts, way), roomFor(facts, node, way)) : [];
    }),
  ];
  const received = other ? itemsToReceive({ ...facts, overlay: other }, ways, items) : [];
  const fast = facts.fastPath ? fastRoutes(items, facts, node, overlayMtu(facts)) : [];
  return { cause: { kind: 'Node', name: node.name }, items: [...items, ...received, ...fast] };
}

function waysTo({ nodeIPs }: OverlayFacts, { ips, podCIDRs }: RemoteNode, remote: IP): Way[] {
  return podCIDRs.map((podCIDR) => {
    const family = familyOfCIDR(podCIDR);
    return { podCIDR, remote, gateway: ofFamily(ips, family), src: ofFamily(nodeIPs, family) };
  });
}

/** What is sent there is received from there as well. */
function itemsToReceive(facts: OverlayFacts, ways: readonly Way[], sent: readonly KernelItem[]): KernelItem[] {
  const backend = backendOf(facts.overlay);
  const underlay = underlayOf(facts.nodeIPs);
  const carried = ways.filter(({ podCIDR }) => backend.carries(familyOfCIDR(podCIDR), underlay));
  const items = carried.flatMap((way) => backend.receive?.(facts, way) ?? []);
  return items.filter(({ dst }) => !sent.some((item) => item.kind === 'ipip-peer' && item.dst === dst));
}

/** What a way that carries less leaves for pods; undefined: what the links say holds. */
function roomFor({ overlay, nodeIPs }: OverlayFacts, { pathMtus }: RemoteNode, { podCIDR }: Way): number | undefined {
  const overhead = backendOf(overlay).overhead(underlayOf(nodeIPs));
  const mtu = pathMtus?.[overhead > 0 ? underlayOf(nodeIPs) : familyOfCIDR(podCIDR)];
  return mtu && mtu - overhead;
}

/** The node tells pods of it at once, with ICMP of its own: what a router on the way would tell hears the node alone, or nobody. */
function narrowed(items: KernelItem[], mtu: number | undefined): KernelItem[] {
  if (mtu === undefined) return items;
  return items.map((item) => (item.kind === 'route' ? { ...item, mtu: Math.min(item.mtu ?? mtu, mtu) } : item));
}

/** The far node is on our segment, and a plain route is enough. */
function isDirect({ overlay, segmentCIDRs }: OverlayFacts, { gateway }: Way): boolean {
  if (!overlay.directRouting || gateway === undefined) return false;
  return segmentCIDRs.some((cidr) => prefixContains(cidr, gateway));
}

function familyOfCIDR(cidr: CIDR): Family {
  return parsePrefix(cidr).family;
}

function ofFamily(ips: readonly IP[], family: Family): IP | undefined {
  return ips.find((ip) => familyOf(ip) === family);
}
