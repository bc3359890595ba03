// Room cluster: whether the values of a config fit each other, said before anything is made.
import { AddressError } from '../addr/ip.ts';
import { type CIDR, parsePrefix } from '../addr/prefix.ts';
import { Fault } from '../observe/fault.ts';
import type { ClusterConfig } from './config.ts';
import { apiServerIPs, dnsServiceIPs, nodeLayouts } from './layout.ts';

/** Of a node's share of the pods' addresses: less than four would be no share. */
const LEAST_HOST_BITS = 2;

/** Throws a Fault that names the field at fault. */
export function requireFit(config: ClusterConfig): void {
  const { nodeCIDRs, podCIDRs, serviceCIDRs, nodePortRange } = config.network;
  const [first, last] = nodePortRange;
  if (first > last) throw new Fault(`network.nodePortRange goes from ${first} down to ${last}`);
  const { racks } = config.network;
  if (racks > config.nodes)
    throw new Fault(
      `--racks ${racks} (network.racks) is more than --nodes ${config.nodes}: a rack would be without a node`,
      {
        mend: `--racks ${config.nodes} or fewer, or more --nodes`,
      },
    );
  const families = (cidrs: readonly CIDR[]) => cidrs.map((cidr) => `IPv${parsePrefix(cidr).family}`).join(' and ');
  for (const [field, cidrs] of Object.entries({ podCIDRs, serviceCIDRs })) {
    if (families(cidrs) === families(nodeCIDRs)) continue;
    const clash = `network.${field} is ${families(cidrs)}, network.nodeCIDRs ${families(nodeCIDRs)}`;
    throw new Fault(clash, { mend: 'give each the same families in the same order' });
  }
  for (const cidr of config.network.nonMasqueradeCIDRs) {
    const { family } = parsePrefix(cidr);
    if (nodeCIDRs.every((each) => parsePrefix(each).family !== family))
      throw new Fault(`network.nonMasqueradeCIDRs: ${cidr} is IPv${family}, network.nodeCIDRs ${families(nodeCIDRs)}`);
  }
  attempt('network.nodeCIDRs', () => apiServerIPs(config));
  attempt('network.serviceCIDRs', () => dnsServiceIPs(config));
  const nodes = attempt(`network.nodeCIDRs, podCIDRs and nodePrefixLengths for ${config.nodes} nodes`, () =>
    nodeLayouts(config),
  );
  for (const cidr of nodes[0]?.podCIDRs ?? []) {
    const { family, length } = parsePrefix(cidr);
    if (length > (family === 4 ? 32 : 128) - LEAST_HOST_BITS)
      throw new Fault(`network.nodePrefixLengths: /${length} leaves a node no addresses for pods`);
  }
}

function attempt<T>(field: string, arithmetic: () => T): T {
  try {
    return arithmetic();
  } catch (cause) {
    if (!(cause instanceof AddressError)) throw cause;
    throw new Fault(`${field} do not fit: ${cause.message}`, { cause });
  }
}
