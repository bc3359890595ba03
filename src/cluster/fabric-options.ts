// Room cluster: the fabric as a cluster's config asks for it on this machine.
import type { ClusterConfig } from './config.ts';
import { settleDatapath } from './datapath.ts';
import type { FabricNode, FabricOptions } from './fabric.ts';

/** `cutOff`: names of nodes whose leg is to be down. */
export function fabricOptions(
  config: ClusterConfig,
  nodes: readonly FabricNode[],
  cutOff?: ReadonlySet<string>,
): FabricOptions {
  const fast = settleDatapath(config).kind === 'ebpf';
  const { name: clusterName, network, furtherCIDRs } = config;
  return { ...network, clusterName, furtherCIDRs, nodes, fast, ...(cutOff && { cutOff }) };
}
