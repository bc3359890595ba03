// Room cluster: whether the machine lets nodes know each other's MACs: all network namespaces together have one limit.
import { readFileSync } from 'node:fs';
import { type Family, familyOf } from '../addr/ip.ts';
import { parsePrefix } from '../addr/prefix.ts';
import type { CheckRow } from './check.ts';
import type { ClusterConfig } from './config.ts';
import { nodeLayouts } from './layout.ts';

/** Pods, tunnel ends, nodes and their routers have permanent entries, which are not counted. Nodes and the machine ask for each other as hosts do. */
export function checkNeighbours(config: ClusterConfig): CheckRow[] {
  const nodes = nodeLayouts(config).length;
  return config.network.nodeCIDRs.flatMap((cidr) => {
    const family = familyOf(parsePrefix(cidr).ip);
    const limit = limitOf(family);
    return limit === undefined ? [] : [neighbourRow(family, nodes, limit)];
  });
}

/** Undefined where the limit cannot be seen: it stands in the machine's own namespace alone. */
function limitOf(family: Family): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/${keyOf(family).replaceAll('.', '/')}`, 'utf8'));
  } catch {
    return undefined;
  }
}

function keyOf(family: Family): string {
  return `net.ipv${family}.neigh.default.gc_thresh3`;
}

/** `limit`: gc_thresh3, beyond which the kernel drops packets for want of an entry. */
export function neighbourRow(family: Family, nodes: number, limit: number): CheckRow {
  const what = `IPv${family} neighbours of nodes`;
  // Each of the machine, and the machine of each and of the router.
  const needed = 2 * nodes + 1;
  if (needed <= limit) return { what, state: 'ok', detail: `${needed} at most, of ${limit}` };
  const detail =
    `${nodes} nodes that all speak with this machine need ${needed} entries, and ${keyOf(family)} lets all of this ` +
    `machine have ${limit}: beyond that packets are lost ("neighbor table overflow" in dmesg)`;
  return { what, state: 'low', detail, mend: `sysctl -w ${keyOf(family)}=${2 ** Math.ceil(Math.log2(needed))}` };
}
