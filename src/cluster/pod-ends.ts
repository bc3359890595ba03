// Room cluster: the pods of a cluster as they are found in the kernel, without the API: their namespaces, addresses and MTU.
import type { IP } from '../addr/ip.ts';
import { type CIDR, parsePrefix, prefixContains } from '../addr/prefix.ts';
import { SysError } from '../sys/ffi.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { netnsPath } from '../sys/netns.ts';
import { decodeAddress, getAddresses } from '../wire/netlink/address.ts';
import { decodeLink, getLink } from '../wire/netlink/link.ts';
import type { NodeLayout } from './layout.ts';
import { podNamespaces } from './namespaces.ts';

export interface FoundPod {
  readonly node: string;
  readonly netns: string;
  /** Those that are of the node's pod prefixes, one per family. */
  readonly ips: readonly IP[];
  readonly mtu: number;
}

/** One pod of each node that has any. */
export function onePodPerNode(clusterName: string, layouts: readonly NodeLayout[]): FoundPod[] {
  const found = new Map<string, FoundPod>();
  for (const name of podNamespaces(clusterName)) {
    if (found.size === layouts.length) break;
    const pod = lookAt(netnsPath(name), layouts);
    if (pod && !found.has(pod.node)) found.set(pod.node, pod);
  }
  return [...found.values()];
}

function lookAt(netns: string, layouts: readonly NodeLayout[]): FoundPod | undefined {
  try {
    using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
    const addresses = ([4, 6] as const).flatMap((family) => socket.dump(getAddresses(family)).map(decodeAddress));
    for (const { name, podCIDRs } of layouts) {
      const own = addresses.filter(({ address }) => podCIDRs.some((cidr) => prefixContains(cidr, ipOf(address))));
      if (own.length === 0) continue;
      const link = socket
        .dump(getLink())
        .map(decodeLink)
        .find(({ index }) => index === own[0]!.index);
      return link && { node: name, netns, ips: own.map(({ address }) => ipOf(address)), mtu: link.mtu };
    }
    return undefined;
  } catch (error) {
    // It may end while we look.
    if (error instanceof SysError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function ipOf(address: CIDR): IP {
  return parsePrefix(address).ip;
}
