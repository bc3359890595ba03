// Room cluster: the racks of a fabric: each an L2 segment with its share of the nodes' prefix.
import { type CIDR, parsePrefix, subPrefix } from '../addr/prefix.ts';

/** The share of rack number `rack`, from 0 on, of `racks`: equal powers of two. */
export function segmentOf(nodeCIDR: CIDR, racks: number, rack: number): CIDR {
  if (racks === 1) return nodeCIDR;
  return subPrefix(nodeCIDR, parsePrefix(nodeCIDR).length + Math.ceil(Math.log2(racks)), rack);
}
