// Room plan: a pod's place on the network: a veth whose far end is the pod's eth0, routed, with nothing learnt from packets.
import { createHash } from 'node:crypto';
import { familyOf, type IP } from '../addr/ip.ts';
import { type MAC, macFromIP } from '../addr/mac.ts';
import { type CIDR, hostPrefix } from '../addr/prefix.ts';
import type { KernelItem, NetnsPath } from '../kernel/items.ts';
import { type Bandwidth, planBuckets } from './bandwidth.ts';
import { fastPod } from './fast-path.ts';
import { type HostPort, loopbackSysctls, publishPod } from './host-ports.ts';
import type { Fragment } from './plan.ts';

export interface PodPlace {
  readonly sandboxId: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly netns: NetnsPath;
  /** At most one per family. */
  readonly ips: readonly IP[];
  readonly nodeIPs: readonly IP[];
  readonly mtu: number;
  /** The pod's end; `eth0` when absent. */
  readonly ifname?: string;
  /** Of the pod's end; absent: one that follows from its first address. */
  readonly mac?: MAC;
  /** Its known flows go past the node's stack (datapath ebpf). */
  readonly fastPath?: boolean;
  /** What the pod reaches through this interface; absent: everything. */
  readonly routes?: readonly PodRoute[];
  /** Ports of the node that lead to it. */
  readonly hostPorts?: readonly HostPort[];
  /** Absent: all that there is. */
  readonly bandwidth?: Bandwidth;
}

export interface PodRoute {
  readonly dst: CIDR;
  readonly metric?: number;
  readonly mtu?: number;
}

/** Every pod's gateway: the same on all nodes, on no interface, answered by a permanent neighbour. */
export const GATEWAYS: Record<4 | 6, IP> = { 4: '169.254.1.1', 6: 'fe80::ecee:eeff:feee:eeee' };
export const GATEWAY_MAC: MAC = 'ee:ee:ee:ee:ee:ee';
const POD_ROLE = 0x50;

export function podMac(ip: IP): MAC {
  return macFromIP(ip, POD_ROLE);
}

/** The node's end of the pod's veth: at most 15 bytes, unique by the sandbox. */
export function podLinkName(sandboxId: string): string {
  return `pw${createHash('sha1').update(sandboxId).digest('hex').slice(0, 12)}`;
}

/** Key `pod/<sandboxId>`. */
export function planPod(pod: PodPlace): Fragment {
  const link = podLinkName(pod.sandboxId);
  const { netns, mtu, ifname = 'eth0', mac = podMac(pod.ips[0]!), hostPorts = [] } = pod;
  // Addresses that nobody asked for would make the kernel solicit and report at both ends of each new pod.
  const own = pod.ips.some((ip) => familyOf(ip) === 6) ? {} : ({ linkLocal: false } as const);
  const items: KernelItem[] = [
    {
      kind: 'link',
      name: link,
      mtu,
      mac: GATEWAY_MAC,
      up: true,
      ...own,
      type: { kind: 'veth', peer: { name: ifname, netns, mac } },
    },
    // A pod sends under its own address alone.
    { kind: 'sysctl', key: `net/ipv4/conf/${link}/rp_filter`, value: '1' },
    { kind: 'link', netns, name: 'lo', mtu: 65536, up: true, type: { kind: 'existing' } },
    // Its neighbour entries are permanent: with any other MAC nothing would reach it.
    { kind: 'link', netns, name: ifname, mtu, mac, up: true, ...own, type: { kind: 'existing' } },
    ...pod.ips.flatMap((ip) => [...nodeSide(pod, link, ip, mac), ...podSide(pod, ifname, ip)]),
    ...planBuckets(pod.bandwidth ?? {}, { outer: link, inner: ifname, netns }),
    ...loopbackSysctls(link, { ...pod, hostPorts }),
    ...publishPod({ ...pod, hostPorts }),
    // What a bucket at the node's end of the veth is to hold back must come by there.
    ...(pod.fastPath && !pod.bandwidth?.ingress ? fastPod(link, pod.ips) : []),
  ];
  return { cause: { kind: 'Pod', namespace: pod.podNamespace, name: pod.podName }, items };
}

function nodeSide(pod: PodPlace, link: string, ip: IP, mac: MAC): KernelItem[] {
  const src = pod.nodeIPs.find((nodeIP) => familyOf(nodeIP) === familyOf(ip));
  return [
    { kind: 'route', dst: hostPrefix(ip), type: 'unicast', link, ...(src && { src }) },
    { kind: 'neighbour', link, ip, mac },
  ];
}

function podSide({ netns, routes }: PodPlace, link: string, ip: IP): KernelItem[] {
  const family = familyOf(ip);
  const via = GATEWAYS[family];
  const there = { netns, link } as const;
  const everything: PodRoute = { dst: family === 4 ? '0.0.0.0/0' : '::/0' };
  return [
    { kind: 'address', ...there, address: hostPrefix(ip) },
    { kind: 'neighbour', ...there, ip: via, mac: GATEWAY_MAC },
    ...(routes ?? [everything])
      .filter(({ dst }) => familyOf(dst) === family)
      .map((route): KernelItem => ({ kind: 'route', ...there, ...route, type: 'unicast', via, onlink: true })),
  ];
}
