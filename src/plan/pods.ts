// Room plan: a pod's place on the network: a veth whose far end is the pod's eth0, routed, with nothing learnt from packets.
import { createHash } from 'node:crypto';
import { familyOf, type IP } from '../addr/ip.ts';
import { type MAC, macFromIP } from '../addr/mac.ts';
import { hostPrefix } from '../addr/prefix.ts';
import type { KernelItem, NetnsPath } from '../kernel/items.ts';
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
}

/** Every pod's gateway: the same on all nodes, on no interface, answered by a permanent neighbour. */
const GATEWAYS: Record<4 | 6, IP> = { 4: '169.254.1.1', 6: 'fe80::ecee:eeff:feee:eeee' };
const GATEWAY_MAC: MAC = 'ee:ee:ee:ee:ee:ee';
const POD_ROLE = 0x50;

/** The node's end of the pod's veth: at most 15 bytes, unique by the sandbox. */
export function podLinkName(sandboxId: string): string {
  return `pw${createHash('sha1').update(sandboxId).digest('hex').slice(0, 12)}`;
}

/** Key `pod/<sandboxId>`. */
export function planPod(pod: PodPlace): Fragment {
  const link = podLinkName(pod.sandboxId);
  const podMac = macFromIP(pod.ips[0]!, POD_ROLE);
  const { netns, mtu } = pod;
  const items: KernelItem[] = [
    {
      kind: 'link',
      name: link,
      mtu,
      mac: GATEWAY_MAC,
      up: true,
      type: { kind: 'veth', peer: { name: 'eth0', netns, mac: podMac } },
    },
    // A pod sends under its own address alone.
    { kind: 'sysctl', key: `net/ipv4/conf/${link}/rp_filter`, value: '1' },
    { kind: 'link', netns, name: 'lo', mtu: 65536, up: true, type: { kind: 'existing' } },
    { kind: 'link', netns, name: 'eth0', mtu, up: true, type: { kind: 'existing' } },
    ...pod.ips.flatMap((ip) => [...nodeSide(pod, link, ip, podMac), ...podSide(netns, ip)]),
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

function podSide(netns: NetnsPath, ip: IP): KernelItem[] {
  const family = familyOf(ip);
  const via = GATEWAYS[family];
  const eth0 = { netns, link: 'eth0' } as const;
  return [
    { kind: 'address', ...eth0, address: hostPrefix(ip) },
    { kind: 'neighbour', ...eth0, ip: via, mac: GATEWAY_MAC },
    { kind: 'route', ...eth0, dst: family === 4 ? '0.0.0.0/0' : '::/0', type: 'unicast', via, onlink: true },
  ];
}
