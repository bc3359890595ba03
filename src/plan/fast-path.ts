// Room plan: what the eBPF fast path needs beside the plan of the normal path, all of it drawn from that plan.
import type { IP } from '../addr/ip.ts';
import { type MAC, macFromIP } from '../addr/mac.ts';
import type { CIDR } from '../addr/prefix.ts';
import type { FastRoute, FrameHead, KernelItem, Sysctl } from '../kernel/items.ts';
import type { OverlayFacts, RemoteNode } from './overlay/backend.ts';
import { VXLAN_LINK } from './overlay/vxlan.ts';

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

/** Links over which packets come as they were sent by other nodes' pods, or as an overlay's program unwraps them. */
export function fastWires({ overlay, nodeLink }: OverlayFacts): KernelItem[] {
  const links = overlay.backend === 'vxlan' ? [nodeLink, VXLAN_LINK] : [nodeLink];
  return links.map((link) => ({ kind: 'fast-path', link, from: 'wire' }));
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
  return items.flatMap((item): FastRoute[] => {
    if (item.kind !== 'route' || item.via === undefined) return [];
    const { dst, via, link, mtu = podMtu } = item;
    if (mtu < podMtu || (link !== facts.nodeLink && link !== VXLAN_LINK)) return [];
    // A router has a MAC that nobody knows beforehand.
    const isNext = facts.ourFabric && link === facts.nodeLink && ips.includes(via);
    return [{ kind: 'fast-route', dst, link, via, ...(isNext && { straight: frameTo(facts, ips, items, dst) }) }];
  });
}

function frameTo({ nodeIPs }: OverlayFacts, ips: readonly IP[], items: readonly KernelItem[], dst: CIDR): FrameHead {
  const wrapped = items.find((item) => item.kind === 'ipip-peer' && item.dst === dst);
  const tunnel = wrapped?.kind === 'ipip-peer' && { local: nodeIPs[0]!, remote: wrapped.remote };
  return { from: legMac(nodeIPs), to: legMac(ips), ...(tunnel && { tunnel }) };
}
