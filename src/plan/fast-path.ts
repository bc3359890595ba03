// Room plan: what the eBPF fast path needs beside the plan of the normal path, all of it drawn from that plan.
import { familyOf, type IP } from '../addr/ip.ts';
import { type MAC, macFromIP } from '../addr/mac.ts';
import { type CIDR, prefixContains } from '../addr/prefix.ts';
import type { FastRoute, FrameHead, KernelItem, Sysctl, VxlanEnd } from '../kernel/items.ts';
import type { OverlayFacts, RemoteNode } from './overlay/backend.ts';
import { VXLAN_LINK, vtepMac } from './overlay/vxlan.ts';

/**
 * Packets that go past the node's stack are not seen by connection tracking: it must not take what ends a connection for
 * something out of place.
 */
export const FAST_PATH_SYSCTL: Sysctl = {
  kind: 'sysctl',
  key: 'net/netfilter/nf_conntrack_tcp_be_liberal',
  value: '1',
};

/** A pod's part: its packets are looked at where they enter the node, and others find the way to it. */
export function fastPod(link: string, ips: readonly IP[]): KernelItem[] {
  return [{ kind: 'fast-path', link, from: 'pod' }, ...ips.map((ip) => ({ kind: 'fast-pod', ip, link }) as const)];
}

/**
 * Links over which packets come as they were sent by other nodes' pods, or as an overlay's program unwraps them. On a fabric of ours
 * VXLAN is unwrapped on the leg; what is none of a known flow comes over the device.
 */
export function fastWires(facts: OverlayFacts): KernelItem[] {
  const { overlay, nodeLink } = facts;
  if (overlay.backend !== 'vxlan') return [{ kind: 'fast-path', link: nodeLink, from: 'wire' }];
  const vxlan = facts.ourFabric && vxlanEnd(facts);
  return [
    { kind: 'fast-path', link: nodeLink, from: 'wire', ...(vxlan && { vxlan }) },
    { kind: 'fast-path', link: VXLAN_LINK, from: 'wire' },
  ];
}

/** Undefined over IPv6, which the programs do not know around VXLAN. */
function vxlanEnd({ nodeIPs, vxlan: { vni, port } }: OverlayFacts): VxlanEnd | undefined {
  const local = nodeIPs[0]!;
  return familyOf(local) === 4 ? { local, port, vni } : undefined;
}

const NODE_ROLE = 0x4e;

/** Of a node's leg on a fabric of ours. */
export function legMac(ips: readonly IP[]): MAC {
  return macFromIP(ips[0]!, NODE_ROLE);
}

/**
 * The routes to a far node's pods, where a neighbour on a link is all that is asked for: not over a TUN or a tunnel of the
 * kernel. `podMtu`: where a path carries less, the node's stack must see what is too large, and say so.
 */
export function fastRoutes(
  items: readonly KernelItem[],
  facts: OverlayFacts,
  { ips }: Pick<RemoteNode, 'ips'>,
  podMtu: number,
): FastRoute[] {
  const { nodeLink } = facts;
  return items.flatMap((item): FastRoute[] => {
    if (item.kind !== 'route' || item.via === undefined) return [];
    const { dst, via, link, mtu = podMtu } = item;
    if (mtu < podMtu) return [];
    const kind = 'fast-route';
    if (link === nodeLink) {
      const straight = frameTo(facts, ips, via, ipipTo(items, dst, facts));
      return [{ kind, dst, link, via, ...(straight && { straight }) }];
    }
    if (link !== VXLAN_LINK) return [];
    const remote = ips.find((ip) => familyOf(ip) === 4);
    const end = vxlanEnd(facts);
    const vxlan = end && remote && { ...end, remote, from: vtepMac(end.local), to: vtepMac(remote) };
    const straight = vxlan && frameTo(facts, ips, remote, { vxlan });
    return [straight ? { kind, dst, link: nodeLink, via: remote, straight } : { kind, dst, link, via }];
  });
}

function ipipTo(items: readonly KernelItem[], dst: CIDR, { nodeIPs }: OverlayFacts): Pick<FrameHead, 'ipip'> {
  const peer = items.find((item) => item.kind === 'ipip-peer' && item.dst === dst);
  return peer?.kind === 'ipip-peer' ? { ipip: { local: nodeIPs[0]!, remote: peer.remote } } : {};
}

/** Undefined where the next hop is not the node itself: a router has a MAC that nobody knows beforehand. */
function frameTo(
  { ourFabric, nodeIPs, segmentCIDRs }: OverlayFacts,
  ips: readonly IP[],
  next: IP,
  wrapped: Pick<FrameHead, 'ipip' | 'vxlan'>,
): FrameHead | undefined {
  const isNear = ips.includes(next) && segmentCIDRs.some((cidr) => prefixContains(cidr, next));
  return ourFabric && isNear ? { from: legMac(nodeIPs), to: legMac(ips), ...wrapped } : undefined;
}
