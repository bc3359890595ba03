// Room plan: what all plans of a node have in common: what it knows of itself, and the names of tables, sets and chains.
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import type { NftFamily } from '../kernel/nft-items.ts';

/** What a node knows of itself when it plans. */
export interface NodeFacts {
  readonly nodeName: string;
  /** One per family; a family without one gets no Services. */
  readonly nodeIPs: readonly IP[];
  /** The node's own share of the pods' addresses; empty until it is given one. */
  readonly ownPodCIDRs: readonly CIDR[];
  /** Of the whole cluster. */
  readonly podCIDRs: readonly CIDR[];
  readonly serviceCIDRs: readonly CIDR[];
  /** Destinations outside the cluster that see a pod's own address. */
  readonly nonMasqueradeCIDRs?: readonly CIDR[];
  /** Service addresses that the node's own DNS server answers on. */
  readonly dnsIPs: readonly IP[];
  /** Addresses of the node at which NodePorts are open; absent: nodeIPs. */
  readonly nodePortIPs?: readonly IP[];
  /** The node's topology.kubernetes.io/zone. */
  readonly zone?: string;
  /** Count packets and bytes of every Service. */
  readonly countServices?: true;
}

/** One table per family. */
export const TABLE = 'podwire';
/** address . protocol . port of a Service to the chain of its number of endpoints. */
export const SERVICES = 'services';
/** address . protocol . port . index to an endpoint's address . port. */
export const ENDPOINTS = 'endpoints';
/** Addresses of this node's endpoints, twice: traffic of a pod that was sent to itself. */
export const HAIRPIN = 'hairpin';
/** address . protocol . port of this node's pods that are reached by a port of the node. */
export const HOST_PORT_TARGETS = 'host-port-targets';
/** As SERVICES, for traffic from outside the cluster to those that treat it otherwise: asked first. */
export const SERVICES_OUTSIDE = 'services-outside';
/** address . protocol . port of Services whose endpoints see the address of a client outside. */
export const KEEP_SOURCE = 'keep-source';
/** address . protocol . port of Services that drop some traffic, each with a counter of it. */
export const DROPPED = 'dropped';
/** address . protocol . port of every Service, each with a counter of its packets both ways; only where that is wanted. */
export const TRAFFIC = 'traffic';
/** address . protocol . port . source: who may come to Services that not everybody may come to. */
export const SOURCES = 'sources';
/** client . address . protocol . port to the number of the endpoint it came to last; packets write it. */
export const AFFINITY = 'affinity';
/** address . protocol . port . index to the number of an endpoint, under which ENDPOINTS or ENDPOINTS_OUTSIDE has it too. */
export const PICKS = 'picks';
/** address . protocol . port . number to an endpoint's address . port, of those that traffic from outside may stay with. */
export const ENDPOINTS_OUTSIDE = 'endpoints-outside';
/** Where the traffic of Services without endpoints goes. */
export const REFUSE = 'refuse';
/** Where traffic goes that a Service does not want here. */
export const DROP = 'drop';

export interface Place {
  readonly family: NftFamily;
  readonly table: string;
}

export function placeOf(family: Family): Place {
  return { family: family === 4 ? 'ip' : 'ip6', table: TABLE };
}

/** Words of rules that differ between the families. */
export function wordsOf(family: Family) {
  return family === 4
    ? ({ saddr: 'ip saddr', daddr: 'ip daddr', address: 'ipv4_addr' } as const)
    : ({ saddr: 'ip6 saddr', daddr: 'ip6 daddr', address: 'ipv6_addr' } as const);
}

export function ofFamily<T extends string>(family: Family, addresses: readonly T[]): T[] {
  return addresses.filter((address) => familyOf(address) === family);
}

export function familiesOf(facts: NodeFacts): Family[] {
  return ([4, 6] as const).filter((family) => facts.nodeIPs.some((ip) => familyOf(ip) === family));
}
