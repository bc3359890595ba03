// Room plan: a load balancer address on the node that answers for it.
import { familyOf, type IP } from '../addr/ip.ts';
import { hostPrefix } from '../addr/prefix.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { ObjectRef } from '../objects/types.ts';
import type { Fragment } from './plan.ts';

export interface ClaimedAddress {
  readonly ip: IP;
  /** The link on which its neighbours ask for it. */
  readonly link: string;
  /** The node's own, one per family. */
  readonly nodeIPs: readonly IP[];
  /** The first of the Services that have it. */
  readonly service: ObjectRef;
}

export function addressFragmentKey(ip: IP): string {
  return `lb/${ip}`;
}

/**
 * No link gets the address, so that the node never speaks under it. By a local route the kernel answers ARP for it (arp_process()
 * asks the routes, whatever interface has the address) and takes in what nobody translates; for NDP the link must say so itself.
 */
export function planAddress({ ip, link, nodeIPs, service }: ClaimedAddress): Fragment {
  // Else the node would speak to it under an address of lo: of IPv6 that is the DNS server's, whose packets nobody tracks.
  const src = nodeIPs.find((own) => familyOf(own) === familyOf(ip));
  const route: KernelItem = { kind: 'route', dst: hostPrefix(ip), type: 'local', link: 'lo', ...(src && { src }) };
  if (familyOf(ip) === 4) return { cause: service, items: [route] };
  return {
    cause: service,
    items: [
      { kind: 'sysctl', key: `net/ipv6/conf/${link}/proxy_ndp`, value: '1' },
      // Else the kernel waits up to 0.8 s before each answer (RFC 4861, 7.2.8).
      { kind: 'sysctl', key: `net/ipv6/neigh/${link}/proxy_delay`, value: '0' },
      route,
      { kind: 'proxy', link, ip },
    ],
  };
}
