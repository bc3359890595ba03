// Room cluster: the fabric as a cluster's config asks for it on this machine.
import type { ClusterConfig } from './config.ts';
import { settleSwitch } from './datapath.ts';
import type { FabricNode, FabricOptions } from './fabric.ts';

/** `cutOff`: names of nodes whose leg is to be down. */
export function fabricOptions(
  config: ClusterConfig,
  nodes: readonly FabricNode[],
  cutOff?: ReadonlySet<string>,
): FabricOptions {
  const fast = settleSwitch(config);
  const { name: clusterName, network, furtherCIDRs } = config;
  return { ...network, clusterName, furtherCIDRs, nodes, fast, ...(cutOff && { cutOff }) };
}
