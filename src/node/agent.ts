// Room node: what a node agent is told at its start. The same agent runs in a worker thread of the box and on a real host.

import type { IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import type { ServerSettings } from '../dns/settings.ts';
import type { OverlaySettings } from '../plan/overlay/backend.ts';
import type { ConntrackNumbers } from '../wire/bpf/flow-memory.ts';

/**
 * How packets of pods pass a node: all through its stack, or known flows past it by eBPF, which needs to know some numbers of the
 * running kernel. `missing`: eBPF was asked for, and this is what the kernel lacks.
 */
export type Datapath =
  | { readonly kind: 'nftables'; readonly missing?: string }
  | { readonly kind: 'ebpf'; readonly numbers: ConntrackNumbers };

export interface NodeOptions {
  readonly clusterName: string;
  readonly nodeName: string;
  /** The node's address on the fabric, one per family. */
  readonly nodeIPs: readonly IP[];
  /** Path of the node's network namespace; absent on a real host (the agent's own). */
  readonly netns?: string;
  /** The node's directory of state: sandboxes, containers, leases, logs, kubelet.sock. */
  readonly stateDir: string;
  /** Unpacked images and blobs, shared by the nodes of one machine. */
  readonly imageDir: string;
  readonly clusterDomain: string;
  /** This node's own share, one prefix per family. */
  readonly podCIDRs: readonly CIDR[];
  /** The whole cluster's, one prefix per family. */
  readonly clusterPodCIDRs: readonly CIDR[];
  readonly serviceCIDRs: readonly CIDR[];
  readonly nodeCIDRs: readonly CIDR[];
  /** Service addresses of DNS: 10.96.0.10. */
  readonly dnsIPs: readonly IP[];
  /** Resolvers of everything outside the cluster domain, `address` or `address#port`. */
  readonly dnsUpstreams: readonly string[];
  /** Absent: every setting of the DNS server as it is by default. */
  readonly dns?: ServerSettings;
  /** MTU of the leg on the fabric. */
  readonly mtu: number;
  readonly vxlan: { readonly vni: number; readonly port: number };
  /** Absent: nftables. */
  readonly datapath?: Datapath;
  /** The node's link is a veth to a fabric of ours, on which every node's MAC follows from its address (legMac). */
  readonly ourFabric?: boolean;
  /** The name of the cgroup in which pods find Services at their sockets (proxy mode ebpf); absent: nftables alone translates. */
  readonly socketCgroup?: string;
  /** Absent: VXLAN for every other node. */
  readonly overlay?: OverlaySettings;
  /** Prefixes of the segment on which the node is; absent: nodeCIDRs. */
  readonly segmentCIDRs?: readonly CIDR[];
  /** Addresses of that segment's router, at most one per family; absent: there is none. */
  readonly routers?: readonly IP[];
  /** How long an address that a pod had is kept from other pods. */
  readonly addressRestSeconds?: number;
  /** Destinations outside the cluster that see a pod's own address. */
  readonly nonMasqueradeCIDRs?: readonly CIDR[];
  /** Whether a policy ends connections that it forbids; absent: it does. */
  readonly cutFlows?: boolean;
  readonly nodePortRange: readonly [first: number, last: number];
  /** Where NodePorts are open: at the addresses of any interface in these CIDRs; absent, empty or `primary`: at nodeIPs. */
  readonly nodePortAddresses?: readonly string[];
  /** Count packets and bytes of every Service. */
  readonly serviceCounters?: boolean;
  /** Further labels of the Node object: `topology.kubernetes.io/zone` and the like. */
  readonly labels?: Readonly<Record<string, string>>;
  /** OCI runtime's path, as the machine check found it. */
  readonly ociRuntime: string;
  readonly conmon: string;
}
