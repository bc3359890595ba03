// Room plan: what an overlay backend is: the few lines in which one way to other nodes' pods differs from another.
import type { Family, IP } from '../../addr/ip.ts';
import type { CIDR } from '../../addr/prefix.ts';
import type { IpipPeer, KernelItem } from '../../kernel/items.ts';

export type OverlayName = 'vxlan' | 'host-gw' | 'ipip' | 'udp' | 'none';

export interface OverlaySettings {
  readonly backend: OverlayName;
  /** Nodes of the same segment are reached by plain routes, only others through the encapsulation (Calico's CrossSubnet). */
  readonly directRouting: boolean;
  /** Of ipip: by eBPF on the node's leg where the kernel lacks the tunnel device. Absent: by the kernel. */
  readonly datapath?: 'ebpf';
}

export interface OverlayFacts {
  readonly nodeName: string;
  readonly nodeIPs: readonly IP[];
  /** The link under the overlay, and its MTU. */
  readonly nodeLink: string;
  readonly mtu: number;
  readonly nodeCIDRs: readonly CIDR[];
  /** Prefixes of the segment on which the node is: what it reaches without a router. */
  readonly segmentCIDRs: readonly CIDR[];
  /** Addresses of the segment's router, at most one per family. */
  readonly routers: readonly IP[];
  readonly overlay: OverlaySettings;
  readonly vxlan: { readonly vni: number; readonly port: number };
  /** Known flows of pods go past the node's stack (datapath ebpf). */
  readonly fastPath?: boolean;
  /** The node's link is a veth to a fabric of ours, on which every node's MAC follows from its address. */
  readonly ourFabric?: boolean;
}

export interface RemoteNode {
  readonly name: string;
  readonly ips: readonly IP[];
  readonly podCIDRs: readonly CIDR[];
  /** What the way to it carries of each family, where that is less than our link's MTU. */
  readonly pathMtus?: Readonly<Partial<Record<Family, number>>>;
}

/** One prefix of pods on another node, and the addresses from which and to which packets for it are sent. */
export interface Way {
  readonly podCIDR: CIDR;
  /** Far end and near end of the encapsulation, of the underlay's family. */
  readonly remote: IP;
  /** The far node's address of the pods' family, where it has one. */
  readonly gateway: IP | undefined;
  /** What the node itself sends to those pods comes from here. */
  readonly src: IP | undefined;
}

export interface OverlayBackend {
  /** Bytes that the outer headers take, by the family of the underlay. */
  overhead(underlay: Family): number;
  /** Families of pods that it can carry over that underlay. */
  carries(pods: Family, underlay: Family): boolean;
  /** This node's own end. */
  own(facts: OverlayFacts): KernelItem[];
  /** What a far node needs once, whatever its prefixes. */
  peer(facts: OverlayFacts, remote: IP): KernelItem[];
  /** The way to one of its prefixes. */
  way(facts: OverlayFacts, way: Way): KernelItem[];
  /** Before it may send from there to us, where our own end does not take what anybody sends. */
  receive?(facts: OverlayFacts, way: Way): IpipPeer[];
}
