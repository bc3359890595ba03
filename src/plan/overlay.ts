// Room plan: pods of other nodes are reached through VXLAN (RFC 7348) with every entry programmed: no flooding, no learning.
import { familyOf, type IP } from '../addr/ip.ts';
import { type MAC, macFromIP } from '../addr/mac.ts';
import { type CIDR, networkOf, parsePrefix } from '../addr/prefix.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { Fragment } from './plan.ts';

export interface OverlayFacts {
  readonly nodeName: string;
  readonly nodeIPs: readonly IP[];
  /** Of the link under the overlay. */
  readonly mtu: number;
  readonly vxlan: { readonly vni: number; readonly port: number };
}

export interface RemoteNode {
  readonly name: string;
  readonly ips: readonly IP[];
  readonly podCIDRs: readonly CIDR[];
}

export const VXLAN_LINK = 'pw-vxlan';
const VTEP_ROLE = 0x76;

/** What the outer headers take from a packet: IP (20 or 40), UDP 8, VXLAN 8, the inner Ethernet header 14. */
export function overlayMtu({ mtu, nodeIPs }: Pick<OverlayFacts, 'mtu' | 'nodeIPs'>): number {
  return mtu - (familyOf(nodeIPs[0]!) === 4 ? 50 : 70);
}

/** Every node knows every other's tunnel end without asking: its MAC follows from the node's address. */
export function vtepMac(nodeIP: IP): MAC {
  return macFromIP(nodeIP, VTEP_ROLE);
}

/** Key `overlay`: this node's own end. */
export function planOverlay(facts: OverlayFacts): Fragment {
  const local = facts.nodeIPs[0]!;
  const items: KernelItem[] = [
    {
      kind: 'link',
      name: VXLAN_LINK,
      mtu: overlayMtu(facts),
      mac: vtepMac(local),
      up: true,
      type: { kind: 'vxlan', ...facts.vxlan, local },
    },
    // Other nodes speak to our pods under their own address, whose way back is the fabric. Without an address on the device
    // even the loose check (2) drops that: fib_validate_source.
    { kind: 'sysctl', key: `net/ipv4/conf/${VXLAN_LINK}/rp_filter`, value: '0' },
  ];
  return { cause: { kind: 'Node', name: facts.nodeName }, items };
}

/** Key `node/<name>`. Undefined while the node has no address or no pod prefix. */
export function planRemoteNode(facts: OverlayFacts, remote: RemoteNode): Fragment | undefined {
  const underlay = familyOf(facts.nodeIPs[0]!);
  const dst = remote.ips.find((ip) => familyOf(ip) === underlay);
  if (dst === undefined || remote.podCIDRs.length === 0) return undefined;
  const mac = vtepMac(dst);
  const items: KernelItem[] = [
    { kind: 'fdb', link: VXLAN_LINK, mac, dst },
    ...remote.podCIDRs.flatMap((cidr) => routeTo(facts, cidr, mac)),
  ];
  return { cause: { kind: 'Node', name: remote.name }, items };
}

/** The prefix's network address, which no pod has, stands for the node's tunnel end. */
function routeTo({ nodeIPs }: OverlayFacts, cidr: CIDR, mac: MAC): KernelItem[] {
  const { ip: via, family } = parsePrefix(networkOf(cidr));
  const src = nodeIPs.find((ip) => familyOf(ip) === family);
  return [
    { kind: 'neighbour', link: VXLAN_LINK, ip: via, mac },
    { kind: 'route', dst: networkOf(cidr), type: 'unicast', via, link: VXLAN_LINK, onlink: true, ...(src && { src }) },
  ];
}
