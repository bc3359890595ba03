// Room plan: what every node needs before its first pod: forwarding, lo with the DNS address, a way to the Services.
import { familyOf, type IP } from '../addr/ip.ts';
import { type CIDR, hostPrefix, parsePrefix } from '../addr/prefix.ts';
import type { KernelItem, Sysctl } from '../kernel/items.ts';
import { FAST_PATH_SYSCTL } from './fast-path.ts';
import type { Fragment } from './plan.ts';

export interface NodeNetworkFacts {
  readonly nodeName: string;
  readonly nodeIPs: readonly IP[];
  /** The link that has the node's address. */
  readonly nodeLink: string;
  readonly serviceCIDRs: readonly CIDR[];
  readonly dnsIPs: readonly IP[];
  /** What is on the node's link without a router. */
  readonly segment?: readonly CIDR[];
  /** Known flows of pods go past the node's stack (datapath ebpf). */
  readonly fastPath?: boolean;
}

/** Key `node`. */
export function planNode(facts: NodeNetworkFacts): Fragment {
  const families = new Set(facts.nodeIPs.map(familyOf));
  const items: KernelItem[] = [
    { kind: 'link', name: 'lo', mtu: 65536, up: true, type: { kind: 'existing' } },
    sysctl('net/ipv4/ip_forward', '1'),
    // The stricter of "all" and the link's own counts: each link says for itself.
    sysctl('net/ipv4/conf/all/rp_filter', '0'),
    // Pods of other nodes answer this node itself past the overlay, straight over the fabric: loose.
    sysctl(`net/ipv4/conf/${facts.nodeLink}/rp_filter`, '2'),
    ...(facts.fastPath ? [FAST_PATH_SYSCTL] : []),
    ...(families.has(6) ? [sysctl('net/ipv6/conf/all/forwarding', '1')] : []),
    // Every node answers DNS itself, under one address.
    ...facts.dnsIPs.map((ip) => ({ kind: 'address', link: 'lo', address: hostPrefix(ip) }) as const),
    ...facts.serviceCIDRs.flatMap((cidr) => routeOverLeg(facts, cidr)),
    ...(facts.segment ?? []).flatMap((cidr) => routeOverLeg(facts, cidr, BESIDE_THE_KERNELS)),
  ];
  return { cause: { kind: 'Node', name: facts.nodeName }, items };
}

/**
 * The kernel's own route to the segment comes with the address and before ours. But when somebody flushes the table it stays away, and
 * with it every other node: ours comes back.
 */
const BESIDE_THE_KERNELS = 4096;

/**
 * A connection from the node itself to a Service must find a route before the output hook can translate it. It never leaves
 * under the Service's address; the route gives it the node's address as its source.
 */
function routeOverLeg(facts: NodeNetworkFacts, dst: CIDR, metric?: number): KernelItem[] {
  const { family } = parsePrefix(dst);
  const src = facts.nodeIPs.find((ip) => familyOf(ip) === family);
  if (src === undefined) return [];
  return [{ kind: 'route', dst, type: 'unicast', link: facts.nodeLink, src, ...(metric !== undefined && { metric }) }];
}

function sysctl(key: string, value: string): Sysctl {
  return { kind: 'sysctl', key, value, optional: key.startsWith('net/ipv6/') };
}
