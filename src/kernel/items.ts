// Room kernel: what a network namespace can hold for us, as plain values. A plan is made of these; so is a dump.

import type { IP } from '../addr/ip.ts';
import type { MAC } from '../addr/mac.ts';
import type { CIDR } from '../addr/prefix.ts';
import type { NftItem } from './nft-items.ts';

/** rtm_protocol of every route that is ours (rtnetlink.h leaves 192-255 to users). */
export const ROUTE_PROTOCOL = 201;

/**
 * A path under /run/netns, or absent for the namespace in which this kernel works. Items of a pod's side carry the path
 * of the pod's namespace.
 */
export type NetnsPath = string;

interface InNetns {
  readonly netns?: NetnsPath;
}

/** Identity: netns, name. For a veth the peer is born with it, in `peer.netns`, with its name, MAC and MTU. */
export interface Link extends InNetns {
  readonly kind: 'link';
  readonly name: string;
  readonly mtu: number;
  readonly mac?: MAC;
  /** Name of the bridge. */
  readonly master?: string;
  readonly up: boolean;
  /** False: when it comes up, it gets no IPv6 link-local address. Absent: it gets one, where there is IPv6. */
  readonly linkLocal?: false;
  readonly type: LinkType;
}

export type LinkType =
  | {
      readonly kind: 'veth';
      readonly peer: { readonly name: string; readonly netns?: NetnsPath; readonly mac?: MAC; readonly mtu?: number };
    }
  | { readonly kind: 'bridge' }
  | { readonly kind: 'vxlan'; readonly vni: number; readonly local: IP; readonly port: number }
  /** IP in IP (RFC 2003) without a far end of its own: each packet goes to the gateway of its route. */
  | { readonly kind: 'ipip'; readonly local: IP }
  /** Its packets are read and written by the node's agent. */
  | { readonly kind: 'tun' }
  /** An existing link that we only set up (lo, the pod's side of a veth, a node's leg): never created or deleted. */
  | { readonly kind: 'existing' };

/** Identity: netns, link, address. `address` keeps its host bits: 172.30.0.11/24. */
export interface Address extends InNetns {
  readonly kind: 'address';
  readonly link: string;
  readonly address: CIDR;
  /** The kernel makes no route for the prefix: the address alone. */
  readonly noPrefixRoute?: boolean;
}

/** Identity: netns, table, dst, metric. */
export interface Route extends InNetns {
  readonly kind: 'route';
  readonly dst: CIDR;
  /** `local` over lo: the address is this node's, as if a link had it. */
  readonly type: 'unicast' | 'local' | 'unreachable' | 'blackhole';
  readonly link?: string;
  readonly via?: IP;
  /** The gateway is reachable though no address of the link covers it (RTNH_F_ONLINK). */
  readonly onlink?: boolean;
  readonly scope?: 'global' | 'link' | 'host';
  readonly src?: IP;
  readonly metric?: number;
  readonly mtu?: number;
}

/** A permanent neighbour. Identity: netns, link, ip. */
export interface Neighbour extends InNetns {
  readonly kind: 'neighbour';
  readonly link: string;
  readonly ip: IP;
  readonly mac: MAC;
}

/** The link answers NDP for an address that it has not got. Identity: netns, link, ip. The kernel tells nobody when one goes. */
export interface ProxyNeighbour extends InNetns {
  readonly kind: 'proxy';
  readonly link: string;
  readonly ip: IP;
}

/** A permanent entry of a VXLAN device: frames for `mac` go to the node at `dst`. Identity: netns, link, mac. */
export interface FdbEntry extends InNetns {
  readonly kind: 'fdb';
  readonly link: string;
  readonly mac: MAC;
  readonly dst: IP;
}

/**
 * What leaves over this existing link for other nodes' pods is wrapped into IP in IP by an eBPF program, and unwrapped where it
 * comes in. Identity: netns, link.
 */
export interface IpipTunnel extends InNetns {
  readonly kind: 'ipip';
  readonly link: string;
  readonly local: IP;
}

/**
 * Packets for `dst` are wrapped for the node at `remote`, and what it wraps of theirs is unwrapped. Needs the tunnel on the link. Identity:
 * netns, link, dst.
 */
export interface IpipPeer extends InNetns {
  readonly kind: 'ipip-peer';
  readonly link: string;
  readonly dst: CIDR;
  readonly remote: IP;
  /** Nothing is wrapped for it. */
  readonly receiveOnly?: true;
}

/** A token bucket over what an existing link sends; bytes. Goes with its link. Identity: netns, link. */
export interface TokenBucket extends InNetns {
  readonly kind: 'bucket';
  readonly link: string;
  /** A second. */
  readonly rate: number;
  /** That may pass at once. */
  readonly burst: number;
  /** That may wait. */
  readonly limit: number;
}

/**
 * What comes from a pod over this link, or from other nodes, goes to pods past the node's stack by an eBPF program, as far as
 * its flow is known. Identity: netns, link.
 */
export interface FastPath extends InNetns {
  readonly kind: 'fast-path';
  readonly link: string;
  readonly from: 'pod' | 'wire';
  /** From the wire: also what comes wrapped for this end. */
  readonly vxlan?: VxlanEnd;
}

/** The fast path leads to this address over the node's end of the pod's veth. Identity: netns, ip. */
export interface FastPod extends InNetns {
  readonly kind: 'fast-pod';
  readonly ip: IP;
  readonly link: string;
}

/** The fast path leads to these pods of another node over the link, by the neighbour `via`. Identity: netns, dst. */
export interface FastRoute extends InNetns {
  readonly kind: 'fast-route';
  readonly dst: CIDR;
  readonly link: string;
  readonly via: IP;
  /** The link is a veth: packets go straight to its far end, as frames with this head. */
  readonly straight?: FrameHead;
}

export interface VxlanEnd {
  readonly local: IP;
  readonly port: number;
  readonly vni: number;
}

export interface FrameHead {
  readonly from: MAC;
  readonly to: MAC;
  /** Wrapped into IP in IP between these two. */
  readonly ipip?: { readonly local: IP; readonly remote: IP };
  /** Wrapped into VXLAN; the MACs are those of the tunnel's ends. */
  readonly vxlan?: VxlanEnd & { readonly remote: IP; readonly from: MAC; readonly to: MAC };
}

/**
 * A frame that comes in over one of these ports of a bridge for the MAC behind another that is open goes straight to that port's far end,
 * by an eBPF program. The ports are veths that end in other namespaces. Identity: netns, bridge.
 */
export interface FrameSwitch extends InNetns {
  readonly kind: 'switch';
  readonly bridge: string;
  readonly ports: readonly { readonly link: string; readonly mac: MAC; readonly open: boolean }[];
}

/** Identity: netns, key. `key` is the path below /proc/sys: `net/ipv4/ip_forward`. Never removed: set, or set anew. */
export interface Sysctl extends InNetns {
  readonly kind: 'sysctl';
  readonly key: string;
  readonly value: string;
  /** A kernel that lacks the key is fine. */
  readonly optional?: boolean;
}

export type FastPathItem = FastPath | FastPod | FastRoute;
export type OverlayItem = FdbEntry | IpipTunnel | IpipPeer;
export type LinkItem =
  | Link
  | Address
  | Route
  | Neighbour
  | ProxyNeighbour
  | Sysctl
  | TokenBucket
  | OverlayItem
  | FastPathItem
  | FrameSwitch;
export type KernelItem = LinkItem | NftItem;
