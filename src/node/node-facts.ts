// Room node: what the plans of Services need to know of this node, from its options and its Node object.
import { networkInterfaces } from 'node:os';
import type { IP } from '../addr/ip.ts';
import { type CIDR, networkOf, prefixContains } from '../addr/prefix.ts';
import type { Node } from '../objects/types.ts';
import type { NodeFacts } from '../plan/proxy-names.ts';
import type { NodeOptions } from './agent.ts';

/** In the place of CIDRs: where nothing else is said too. */
export const PRIMARY = 'primary';
const ZONE = 'topology.kubernetes.io/zone';

/** `furtherCIDRs`: of ServiceCIDR objects. */
export function factsOf(options: NodeOptions, node: Node | undefined, furtherCIDRs: readonly CIDR[] = []): NodeFacts {
  const { nodeName, nodeIPs, clusterPodCIDRs, dnsIPs, serviceCounters, nonMasqueradeCIDRs = [] } = options;
  const own = node?.spec?.podCIDRs ?? (node?.spec?.podCIDR ? [node.spec.podCIDR] : options.podCIDRs);
  const nodePortIPs = nodePortIPsOf(options);
  const serviceCIDRs = [...new Set([...options.serviceCIDRs, ...furtherCIDRs].map((cidr) => networkOf(cidr)))];
  const zone = (node?.metadata.labels ?? options.labels)?.[ZONE];
  return {
    nodeName,
    nodeIPs,
    podCIDRs: clusterPodCIDRs,
    serviceCIDRs,
    dnsIPs,
    nonMasqueradeCIDRs,
    ownPodCIDRs: own,
    ...(nodePortIPs && { nodePortIPs }),
    ...(zone && { zone }),
    ...(serviceCounters && { countServices: true }),
  };
}

/** As kube-proxy: its first addresses alone (`primary`, and nothing said), or those of any interface in these CIDRs. */
function nodePortIPsOf({ nodeIPs, nodePortAddresses = [] }: NodeOptions): readonly IP[] | undefined {
  const cidrs = nodePortAddresses.filter((each) => each !== PRIMARY);
  if (cidrs.length === 0) return undefined;
  const local = Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.filter(({ internal, scopeid }) => !internal && !scopeid).map(({ address }) => address),
  );
  return [...new Set([...nodeIPs, ...local])].filter((ip) => cidrs.some((cidr) => prefixContains(cidr, ip)));
}
