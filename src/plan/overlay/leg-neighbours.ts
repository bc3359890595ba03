// Room plan: the MACs of a node's neighbours on a fabric of ours, which nobody has to ask for: they follow from the addresses.
import type { IP } from '../../addr/ip.ts';
import { prefixContains } from '../../addr/prefix.ts';
import type { Neighbour } from '../../kernel/items.ts';
import { legMac } from '../fast-path.ts';
import type { OverlayFacts } from './backend.ts';

/**
 * Permanent entries for a node, or for the router, on our segment; none elsewhere. All network namespaces of a machine have one limit
 * for what is learned by asking (gc_thresh3), which permanent entries do not count against; and no first packet waits for an answer.
 */
export function legNeighbours(facts: OverlayFacts, ips: readonly IP[]): Neighbour[] {
  const { ourFabric, nodeLink: link, segmentCIDRs } = facts;
  if (!ourFabric || ips.length === 0) return [];
  const near = ips.filter((ip) => segmentCIDRs.some((cidr) => prefixContains(cidr, ip)));
  return near.map((ip) => ({ kind: 'neighbour', link, ip, mac: legMac(ips) }));
}
