// Room cluster: the network between the nodes: a bridge in a namespace of its own, a leg for each node and one for the machine.
import { createHash } from 'node:crypto';
import { familyOf, type IP } from '../addr/ip.ts';
import { macFromIP } from '../addr/mac.ts';
import { type CIDR, networkOf, nthAddress, parsePrefix } from '../addr/prefix.ts';
import { identityOf, isLinkItem } from '../kernel/identity.ts';
import type { KernelItem, Link, Route } from '../kernel/items.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { openKernel } from '../kernel/linux.ts';
import { createNetns, isPinned, netnsPath, removeNamespace, socketIn } from '../sys/netns.ts';
import { listenOn } from '../sys/socket.ts';
import { netnsName } from './layout.ts';
import { fabricNamespaces } from './namespaces.ts';

export interface FabricOptions {
  readonly clusterName: string;
  readonly nodeCIDRs: readonly CIDR[];
  readonly podCIDRs: readonly CIDR[];
  readonly serviceCIDRs: readonly CIDR[];
  readonly mtu: number;
  readonly nodes: readonly FabricNode[];
  /** Path of the namespace that plays the machine; absent: the machine's own. */
  readonly hostNetns?: string;
}

export interface FabricNode {
  readonly name: string;
  readonly ips: readonly IP[];
  readonly podCIDRs: readonly CIDR[];
}

const BRIDGE = 'pw-fabric';
const MACHINE_LEG = 'pw-machine';
/** What every node calls its leg. */
export const NODE_LEG = 'eth0';
const KEEP_ADDRESSES = `net/ipv6/conf/${NODE_LEG}/keep_addr_on_down`;
const NODE_ROLE = 0x4e;
const MACHINE_ADDRESS = 1;
const API_SERVER_ADDRESS = 2;

/** The machine's end: `pw` and the cluster's name, or a hash of it where that is beyond the 15 bytes of a name. */
export function hostLegName(clusterName: string): string {
  const plain = `pw${clusterName}`;
  return plain.length <= 15 ? plain : `pw${digest(clusterName).slice(0, 13)}`;
}

function digest(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

/** Routes into nowhere have no interface to be told by: each cluster has a metric of its own, worse than all others in use. */
function nowhereMetric(clusterName: string): number {
  return 0x4000_0000 + Number.parseInt(digest(clusterName).slice(0, 6), 16);
}

function fabricPath(clusterName: string): string {
  return netnsPath(netnsName(clusterName, 'fabric'));
}

/**
 * Makes what is missing of the fabric: namespaces, bridge, legs, addresses, and the machine's routes into the cluster. What is
 * there stays as it is, with its traffic.
 */
export function ensureFabric(options: FabricOptions): void {
  const { clusterName, nodes, hostNetns } = options;
  for (const part of ['fabric', ...nodes.map((node) => node.name)]) {
    const path = netnsPath(netnsName(clusterName, part));
    if (!isPinned(path)) createNetns(path);
  }
  withHost(hostNetns, (kernel) => {
    const items = fabricItems(options);
    const wanted = new Set(items.map(identityOf));
    const stale = machineItems(kernel, clusterName).filter(
      (item) => item.kind === 'route' && !wanted.has(identityOf(item)),
    );
    kernel.apply({ add: items, change: [], remove: stale });
  });
}

function withHost(hostNetns: string | undefined, work: (kernel: Kernel) => void): void {
  const kernel = openKernel(hostNetns === undefined ? {} : { netns: hostNetns });
  try {
    work(kernel);
  } finally {
    kernel.close();
  }
}

function fabricItems(options: FabricOptions): KernelItem[] {
  const { clusterName, nodeCIDRs, mtu, nodes } = options;
  const netns = fabricPath(clusterName);
  return [
    { kind: 'link', netns, name: 'lo', mtu: 65536, up: true, type: { kind: 'existing' } },
    { kind: 'link', netns, name: BRIDGE, mtu, up: true, type: { kind: 'bridge' } },
    // Frames between nodes are none of iptables' business.
    ...['iptables', 'ip6tables', 'arptables'].map(
      (tables) =>
        ({ kind: 'sysctl', netns, key: `net/bridge/bridge-nf-call-${tables}`, value: '0', optional: true }) as const,
    ),
    ...nodeCIDRs.map(
      (cidr) => ({ kind: 'address', netns, link: BRIDGE, address: withLength(cidr, API_SERVER_ADDRESS) }) as const,
    ),
    // The API server answers pods whose address nobody has changed.
    ...podRoutes(options, BRIDGE).map((route) => ({ ...route, netns })),
    ...machineSide(options, netns),
    ...nodes.flatMap((node) => nodeSide(options, node, netns)),
  ];
}

function withLength(cidr: CIDR, n: number): CIDR {
  return `${nthAddress(cidr, n)}/${parsePrefix(cidr).length}`;
}

function machineSide(options: FabricOptions, fabric: string): KernelItem[] {
  const { clusterName, mtu, nodeCIDRs } = options;
  const link = hostLegName(clusterName);
  const leg: Link = {
    kind: 'link',
    name: link,
    mtu,
    mac: macFromIP(nthAddress(nodeCIDRs[0]!, MACHINE_ADDRESS), NODE_ROLE),
    up: true,
    type: { kind: 'veth', peer: { name: MACHINE_LEG, netns: fabric } },
  };
  return [
    leg,
    { kind: 'link', netns: fabric, name: MACHINE_LEG, mtu, master: BRIDGE, up: true, type: { kind: 'existing' } },
    ...nodeCIDRs.flatMap((cidr): KernelItem[] => {
      const src = nthAddress(cidr, MACHINE_ADDRESS);
      return [
        // The kernel's own route for the prefix would not be marked as ours, and would take the place of a stranger's silently.
        { kind: 'address', link, address: withLength(cidr, MACHINE_ADDRESS), noPrefixRoute: true },
        { kind: 'route', dst: networkOf(cidr), type: 'unicast', link, src },
      ];
    }),
    ...machineRoutes(options, link),
  ];
}

/** Pods by their node, Services by the first node; whatever of the cluster's prefixes has no way ends on this machine. */
function machineRoutes(options: FabricOptions, link: string): Route[] {
  const { clusterName, nodes, nodeCIDRs, podCIDRs, serviceCIDRs } = options;
  const metric = nowhereMetric(clusterName);
  return [
    ...podRoutes(options, link),
    ...serviceCIDRs.flatMap((cidr) => routeVia(nodes[0], cidr, link)),
    ...[...nodeCIDRs, ...podCIDRs, ...serviceCIDRs].map(
      (cidr): Route => ({ kind: 'route', dst: networkOf(cidr), type: 'unreachable', metric }),
    ),
  ];
}

function podRoutes({ nodes }: FabricOptions, link: string): Route[] {
  return nodes.flatMap((node) => node.podCIDRs.flatMap((cidr) => routeVia(node, cidr, link)));
}

function routeVia(node: FabricNode | undefined, dst: CIDR, link: string): Route[] {
  const { family } = parsePrefix(dst);
  const via = node?.ips.find((ip) => familyOf(ip) === family);
  return via === undefined ? [] : [{ kind: 'route', dst: networkOf(dst), type: 'unicast', link, via }];
}

function nodeSide(options: FabricOptions, node: FabricNode, fabric: string): KernelItem[] {
  const { clusterName, mtu, nodeCIDRs } = options;
  const netns = netnsPath(netnsName(clusterName, node.name));
  const hasIPv6 = node.ips.some((ip) => familyOf(ip) === 6);
  return [
    // While its link-local address is being checked for duplicates (2 s), a node asks for no neighbour on behalf of pods.
    ...(hasIPv6 ? [{ kind: 'sysctl', netns, key: 'net/ipv6/conf/default/accept_dad', value: '0' } as const] : []),
    {
      kind: 'link',
      netns: fabric,
      name: legName(node.name),
      mtu,
      master: BRIDGE,
      up: true,
      type: { kind: 'veth', peer: { name: NODE_LEG, netns, mac: macFromIP(node.ips[0]!, NODE_ROLE) } },
    },
    { kind: 'link', netns, name: 'lo', mtu: 65536, up: true, type: { kind: 'existing' } },
    { kind: 'link', netns, name: NODE_LEG, mtu, up: true, type: { kind: 'existing' } },
    // Else setting the leg down, by whomever, takes its IPv6 addresses away.
    ...(hasIPv6 ? [{ kind: 'sysctl', netns, key: KEEP_ADDRESSES, value: '1', optional: true } as const] : []),
    ...node.ips.map((ip, family): KernelItem => {
      const { length } = parsePrefix(nodeCIDRs[family]!);
      return { kind: 'address', netns, link: NODE_LEG, address: `${ip}/${length}` };
    }),
  ];
}

/** The bridge's port to a node. */
function legName(nodeName: string): string {
  const plain = `pw-${nodeName}`;
  return plain.length <= 15 ? plain : `pw-${digest(nodeName).slice(0, 12)}`;
}

/** What the cluster has put into the machine's own namespace. */
function machineItems(kernel: Kernel, clusterName: string): KernelItem[] {
  const link = hostLegName(clusterName);
  const metric = nowhereMetric(clusterName);
  return kernel.read().filter((item) => {
    if (!isLinkItem(item)) return false;
    if (item.kind === 'link') return item.name === link;
    if (item.kind === 'route') return item.link === link || item.metric === metric;
    return 'link' in item && item.link === link;
  });
}

/** Leaves nothing: the machine's leg and routes, the fabric, the nodes' namespaces. Succeeds when it is gone already. */
export function removeFabric(clusterName: string, hostNetns?: string): void {
  withHost(hostNetns, (kernel) => kernel.apply({ add: [], change: [], remove: machineItems(kernel, clusterName) }));
  for (const name of fabricNamespaces(clusterName)) removeNamespace(netnsPath(name));
}

/** A listening TCP socket inside the fabric: the API server's way to nodes and pods. For `server.listen({fd})`. */
export function listenInFabric(clusterName: string, ip: IP, port: number): number {
  const domain = familyOf(ip) === 4 ? 'inet' : 'inet6';
  return listenOn(socketIn(fabricPath(clusterName), domain, 'stream'), ip, port);
}
