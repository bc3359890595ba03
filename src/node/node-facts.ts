// Room node: what the plans of Services need to know of this node, from its options and its Node object.
import { prefixContains } from '../addr/prefix.ts';
import type { Node } from '../objects/types.ts';
import type { NodeFacts } from '../plan/proxy-names.ts';
import type { NodeOptions } from './agent.ts';

const ZONE = 'topology.kubernetes.io/zone';

export function factsOf(options: NodeOptions, node: Node | undefined): NodeFacts {
  const { nodeName, nodeIPs, clusterPodCIDRs, serviceCIDRs, dnsIPs, serviceCounters } = options;
  const { nodePortAddresses = [], nonMasqueradeCIDRs = [] } = options;
  const own = node?.spec?.podCIDRs ?? (node?.spec?.podCIDR ? [node.spec.podCIDR] : options.podCIDRs);
  const open = (ip: string) => nodePortAddresses.some((cidr) => prefixContains(cidr, ip));
  const zone = (node?.metadata.labels ?? options.labels)?.[ZONE];
  return {
    nodeName,
    nodeIPs,
    podCIDRs: clusterPodCIDRs,
    serviceCIDRs,
    dnsIPs,
    nonMasqueradeCIDRs,
    ownPodCIDRs: own,
    ...(nodePortAddresses.length > 0 && { nodePortIPs: nodeIPs.filter(open) }),
    ...(zone && { zone }),
    ...(serviceCounters && { countServices: true }),
  };
}
