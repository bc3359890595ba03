// Room cluster: which node has which name, addresses and pod prefixes: arithmetic over the config, nothing else.
import type { IP } from '../addr/ip.ts';
import { type CIDR, nthAddress, parsePrefix, prefixSize, subPrefix } from '../addr/prefix.ts';
import type { ClusterConfig } from './config.ts';
import { segmentOf } from './segments.ts';

/** The API server's in the first segment, and every segment's router: both are the fabric's own namespace. */
const ROUTER = 2;
const MACHINE = 1;
const FIRST_NODE = 11;
const DNS_SERVICE = 10;

export interface NodeLayout {
  readonly name: string;
  /** Name of its network namespace under /run/netns. */
  readonly netns: string;
  /** On the fabric, one per family. */
  readonly ips: readonly IP[];
  readonly podCIDRs: readonly CIDR[];
  /** Number of its rack, from 0 on. */
  readonly rack: number;
  /** The rack's share of the nodes' prefixes, and its router's addresses; one per family. */
  readonly segmentCIDRs: readonly CIDR[];
  readonly routers: readonly IP[];
}

export function netnsName(cluster: string, part: string): string {
  return `pw-${cluster}-${part}`;
}

/** Of the nodes that are there. */
export function nodeLayouts(config: ClusterConfig): NodeLayout[] {
  const all = Array.from({ length: config.nodes }, (_, i) => nodeLayout(config, i));
  return all.filter(({ name }) => !config.removedNodes?.includes(name));
}

/** The i-th node, from 0 on. Throws an AddressError when the CIDRs have no room for it. */
export function nodeLayout(config: ClusterConfig, i: number): NodeLayout {
  const name = `node-${i + 1}`;
  const { nodeCIDRs, podCIDRs, nodePrefixLengths, racks } = config.network;
  const rack = i % racks;
  const segmentCIDRs = nodeCIDRs.map((cidr) => segmentOf(cidr, racks, rack));
  return {
    name,
    netns: netnsName(config.name, name),
    ips: segmentCIDRs.map((cidr) => nthAddress(cidr, FIRST_NODE + Math.floor(i / racks))),
    podCIDRs: podCIDRs.map((cidr, family) => subPrefix(cidr, nodePrefixLengths[family] ?? defaultLength(cidr), i)),
    rack,
    segmentCIDRs,
    routers: segmentCIDRs.map((cidr) => nthAddress(cidr, ROUTER)),
  };
}

function defaultLength(cidr: CIDR): number {
  return parsePrefix(cidr).family === 4 ? 24 : 64;
}

/** Where pods and nodes reach the API server: an address in the fabric's own namespace. */
export function apiServerIPs(config: ClusterConfig): IP[] {
  return config.network.nodeCIDRs.map((cidr) => nthAddress(cidr, ROUTER));
}

/** The LBPool `default`: what the config says, else 51 addresses of IPv4 and 256 of IPv6 of the node network, where it is as large as a /24. */
export function loadBalancerAddresses({ network, loadBalancer }: ClusterConfig): string[] {
  if (loadBalancer.addresses) return [...loadBalancer.addresses];
  return network.nodeCIDRs.flatMap((cidr) => {
    const [first, last] = parsePrefix(cidr).family === 4 ? [200, 250] : [0x1000, 0x10ff];
    return prefixSize(cidr) > last + 4 ? [`${nthAddress(cidr, first)}-${nthAddress(cidr, last)}`] : [];
  });
}

/** What no Service may have of the node network: its ends, the machine's address and the routers'. Nodes' are known by the nodes. */
export function reservedAddresses({ network }: ClusterConfig): IP[] {
  return network.nodeCIDRs.flatMap((cidr) =>
    Array.from({ length: network.racks }, (_, rack) => segmentOf(cidr, network.racks, rack)).flatMap((segment) =>
      [0n, BigInt(MACHINE), BigInt(ROUTER), prefixSize(segment) - 1n].map((n) => nthAddress(segment, n)),
    ),
  );
}

export function dnsServiceIPs(config: ClusterConfig): IP[] {
  return config.network.serviceCIDRs.map((cidr) => nthAddress(cidr, DNS_SERVICE));
}
