// Room lb: from Services, EndpointSlices and Nodes: which addresses are wanted on this segment, and which nodes may have them.
import { familyOf, type IP, isIP } from '../addr/ip.ts';
import { type CIDR, nthAddress, prefixContains } from '../addr/prefix.ts';
import type { Informer } from '../cache/informer.ts';
import { isOurs } from '../controllers/lb/request.ts';
import { type EndpointSlice, type Node, objectKey, type Service } from '../objects/types.ts';
import type { Wanted } from './election.ts';
import type { Member } from './peers.ts';

const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';

export interface SegmentFacts {
  readonly nodeIPs: readonly IP[];
  readonly nodeCIDRs: readonly CIDR[];
  /** Of the segment on which the node is. */
  readonly segmentCIDRs: readonly CIDR[];
}

/** Addresses of the node network belong to the segment that has them; all others to the first, where the machine is. */
export function isOfSegment(ip: IP, { nodeCIDRs, segmentCIDRs }: SegmentFacts): boolean {
  if (nodeCIDRs.some((cidr) => prefixContains(cidr, ip))) return segmentCIDRs.some((cidr) => prefixContains(cidr, ip));
  return nodeCIDRs.some((cidr) => segmentCIDRs.some((segment) => prefixContains(segment, nthAddress(cidr, 1))));
}

export function addressesOf({ spec, status, metadata }: Service): IP[] {
  if (!isOurs({ spec }) || metadata.deletionTimestamp) return [];
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, ipMode }) =>
    ip && isIP(ip) && ipMode !== 'Proxy' ? [ip] : [],
  );
}

/** Nodes with an endpoint of the Service that takes new connections; of the family of `ip`. */
export function nodesWithEndpoints(slices: Iterable<EndpointSlice>, ip: IP): Set<string> {
  const nodes = new Set<string>();
  for (const slice of slices) {
    if (slice.addressType !== (familyOf(ip) === 4 ? 'IPv4' : 'IPv6')) continue;
    for (const { nodeName, conditions } of slice.endpoints ?? []) {
      if (nodeName && conditions?.ready !== false) nodes.add(nodeName);
    }
  }
  return nodes;
}

/** `services`: all that have the address. */
export function wantedAddress(ip: IP, services: readonly Service[], slices: Informer<EndpointSlice>): Wanted {
  const local = services.filter(({ spec }) => spec.externalTrafficPolicy === 'Local');
  const sets = local.map((service) => nodesWithEndpoints(slices.byIndex('service', objectKey(service)), ip));
  const nodes =
    sets.length > 0 ? new Set([...sets[0]!].filter((node) => sets.every((set) => set.has(node)))) : undefined;
  return { ip, services: services.map(objectKey), ...(nodes && { nodes }) };
}

/** Undefined for a node that is on another segment, or nowhere yet. */
export function memberOf(node: Node, { nodeIPs, segmentCIDRs }: SegmentFacts): Member | undefined {
  const addresses = (node.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP');
  const ip = addresses.map(({ address }) => address).find((each) => familyOf(each) === familyOf(nodeIPs[0]!));
  if (ip === undefined || !segmentCIDRs.some((cidr) => prefixContains(cidr, ip))) return undefined;
  const conditions = node.status?.conditions ?? [];
  return {
    name: node.metadata.name,
    ip,
    ready: conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
    excluded: node.metadata.labels?.[EXCLUDED] !== undefined,
  };
}
