// Room cluster: what a cluster is made of. Every field has a default, a line in the config file and, where it matters, a flag.
import { DEFAULT_SETTINGS, type ServerSettings } from '../dns/settings.ts';
import type { OverlaySettings } from '../plan/overlay/backend.ts';

/** `auto`: ebpf where this machine's kernel can. */
export type DatapathName = 'auto' | 'nftables' | 'ebpf';
export type ProxyMode = 'nftables' | 'ebpf';

export interface ClusterConfig {
  readonly name: string;
  readonly nodes: number;
  /** Names of nodes that were there and were taken away on the live cluster: `nodes` counts them too. */
  readonly removedNodes?: readonly string[];
  /** What else the machine sends to a node: of ServiceCIDR objects and of externalIPs, as they were last. */
  readonly furtherCIDRs?: readonly string[];
  readonly domain: string;
  readonly network: {
    /** Addresses on the fabric, one CIDR per family: .1 is the machine's own leg, .2 the API server, nodes from .11 on. */
    readonly nodeCIDRs: readonly string[];
    readonly podCIDRs: readonly string[];
    /** Length of the pod prefix that each node gets, per family. */
    readonly nodePrefixLengths: readonly number[];
    readonly serviceCIDRs: readonly string[];
    /** Destinations outside the cluster that see a pod's own address instead of its node's. */
    readonly nonMasqueradeCIDRs: readonly string[];
    /** How long an address that a pod had is kept from other pods. */
    readonly addressRestSeconds: number;
    readonly nodePortRange: readonly [number, number];
    /** At those of a node's addresses that lie in one of these are NodePorts open. `primary`, and empty: at its first of each family. */
    readonly nodePortAddresses: readonly string[];
    /** externalIPs in these are reached from the machine too: it sends them to a node. Others it leaves to its own routes. */
    readonly externalCIDRs: readonly string[];
    /** Count packets and bytes of every Service, for its metrics. */
    readonly serviceCounters: boolean;
    readonly mtu: number;
    readonly vxlan: { readonly vni: number; readonly port: number };
    /** How packets of pods pass a node: all through its stack, or known flows past it by eBPF where the kernel can. */
    readonly datapath: DatapathName;
    /** Where Services are translated: in nftables alone, or for pods at their sockets by eBPF where the kernel can. */
    readonly proxyMode: ProxyMode;
    /** How pods of different nodes meet. */
    readonly overlay: OverlaySettings;
    /** L2 segments over which the nodes are spread, joined by a router. */
    readonly racks: number;
  };
  /** `upstreams`: resolvers of everything outside the cluster domain, `address` or `address#port`. Empty: the machine's own. */
  readonly dns: ServerSettings & { readonly upstreams: readonly string[] };
  /** Addresses of the LBPool `default`; absent: a range of nodeCIDRs. Empty: there is no such pool. */
  readonly loadBalancer: { readonly addresses?: readonly string[] };
  /** `cutFlows`: a policy ends connections that it forbids; else it is for new ones alone. */
  readonly policies: { readonly cutFlows: boolean };
  /** Port of the API server on loopback. */
  readonly api: { readonly port: number };
}

/** A config file or the flags: any part of a ClusterConfig. */
export type PartialConfig = {
  readonly [K in keyof ClusterConfig]?: ClusterConfig[K] extends readonly unknown[] | number | string | undefined
    ? ClusterConfig[K]
    : {
        readonly [L in keyof ClusterConfig[K]]?: L extends 'overlay' | 'cache'
          ? Partial<ClusterConfig[K][L]>
          : ClusterConfig[K][L];
      };
};

/** Prefixes for examples (RFC 5737, RFC 3849): nobody has a host there. */
const DOCUMENTATION = ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32'];

/** The n-th cluster of a machine gets the n-th of each, so that several stand side by side. */
export function defaultConfig(name: string, slot: number): ClusterConfig {
  return {
    name,
    nodes: 3,
    domain: 'cluster.local',
    network: {
      nodeCIDRs: [`172.30.${slot}.0/24`],
      podCIDRs: [`10.${244 - slot}.0.0/16`],
      nodePrefixLengths: [24],
      serviceCIDRs: [`10.${96 + slot}.0.0/16`],
      nonMasqueradeCIDRs: [],
      addressRestSeconds: 5,
      nodePortRange: [30000, 32767],
      nodePortAddresses: [],
      externalCIDRs: DOCUMENTATION,
      serviceCounters: false,
      mtu: 1500,
      vxlan: { vni: 1, port: 8472 },
      datapath: 'auto',
      proxyMode: 'nftables',
      overlay: { backend: 'vxlan', directRouting: false },
      racks: 1,
    },
    dns: { upstreams: [], ...DEFAULT_SETTINGS },
    loadBalancer: {},
    policies: { cutFlows: true },
    api: { port: 6443 + slot },
  };
}

/** Slots that defaultConfig has CIDRs for. */
export const SLOTS = 64;

export function mergeConfig(base: ClusterConfig, ...parts: readonly PartialConfig[]): ClusterConfig {
  let merged = base;
  for (const part of parts) {
    merged = {
      ...merged,
      ...part,
      network: {
        ...merged.network,
        ...part.network,
        overlay: { ...merged.network.overlay, ...part.network?.overlay },
      },
      dns: { ...merged.dns, ...part.dns, cache: { ...merged.dns.cache, ...part.dns?.cache } },
      loadBalancer: { ...merged.loadBalancer, ...part.loadBalancer },
      policies: { ...merged.policies, ...part.policies },
      api: { ...merged.api, ...part.api },
    };
  }
  return merged;
}
