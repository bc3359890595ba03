// Room cluster: the network between the nodes: in a namespace of its own a bridge for each rack, which it joins as their router;
// a leg for each node and one for the machine.
import { createHash } from 'node:crypto';
import { familyOf, type IP } from '../addr/ip.ts';
import { type CIDR, networkOf, nthAddress, parsePrefix } from '../addr/prefix.ts';
import { identityOf, isLinkItem } from '../kernel/identity.ts';
import type { KernelItem, Link, Neighbour, Route, Sysctl } from '../kernel/items.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { openKernel } from '../kernel/linux.ts';
import { legMac } from '../plan/fast-path.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { createNetns, isPinned, netnsPath, removeNamespace, socketIn } from '../sys/netns.ts';
import { listenOn } from '../sys/socket.ts';
import { setLink } from '../wire/netlink/link.ts';
import { switchesOf } from './fabric-switches.ts';
import { netnsName } from './layout.ts';
import { fabricNamespaces } from './namespaces.ts';
import { segmentOf } from './segments.ts';

export interface FabricOptions {
  readonly clusterName: string;
  readonly nodeCIDRs: readonly CIDR[];
  readonly podCIDRs: readonly CIDR[];
  readonly serviceCIDRs: readonly CIDR[];
  /** More that a node is to translate: further Services' and external ones. */
  readonly furtherCIDRs?: readonly CIDR[] | undefined;
  readonly mtu: number;
  /** How many L2 segments; absent: one. */
  readonly racks?: number;
  /** Names of nodes whose leg is to be down. */
  readonly cutOff?: ReadonlySet<string>;
  /** Frames between nodes go past the bridges, by eBPF. */
  readonly fast?: boolean;
  readonly nodes: readonly FabricNode[];
  /** Path of the namespace that plays the machine; absent: the machine's own. */
  readonly hostNetns?: string;
}

export interface FabricNode {
  readonly name: string;
  readonly ips: readonly IP[];
  /** From 0 on; absent: the first. */
  readonly rack?: number;
  readonly podCIDRs: readonly CIDR[];
}

const BRIDGE = 'pw-fabric';
const MACHINE_LEG = 'pw-machine';
/** What every node calls its leg. */
export const NODE_LEG = 'eth0';
const KEEP_ADDRESSES = `net/ipv6/conf/${NODE_LEG}/keep_addr_on_down`;
const MACHINE_ADDRESS = 1;
/** In the first rack the API server's as well. */
const ROUTER_ADDRESS = 2;

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

export function fabricPath(clusterName: string): string {
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
    kernel.apply({ add: items, change: [], remove: [...stale, ...(options.fast ? [] : switchesOf(options))] });
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

export function fabricItems(options: FabricOptions): KernelItem[] {
  const { clusterName, mtu, nodes } = options;
  const netns = fabricPath(clusterName);
  return [
    { kind: 'link', netns, name: 'lo', mtu: 65536, up: true, type: { kind: 'existing' } },
    ...racksOf(options).map((rack): Link => {
      const mac = legMac(segments(options, rack).map((cidr) => nthAddress(cidr, ROUTER_ADDRESS)));
      return { kind: 'link', netns, name: bridgeName(rack), mtu, mac, up: true, type: { kind: 'bridge' } };
    }),
    ...routerSysctls(options, netns),
    // Frames between nodes are none of iptables' business.
    ...['iptables', 'ip6tables', 'arptables'].map(
      (tables) =>
        ({ kind: 'sysctl', netns, key: `net/bridge/bridge-nf-call-${tables}`, value: '0', optional: true }) as const,
    ),
    ...racksOf(options).flatMap((rack) =>
      segments(options, rack).map(
        (cidr) =>
          ({ kind: 'address', netns, link: bridgeName(rack), address: withLength(cidr, ROUTER_ADDRESS) }) as const,
      ),
    ),
    ...nodes.flatMap((node) => routersNeighbours(node, netns)),
    // The API server answers pods whose address nobody has changed, and the router knows whose pods are where.
    ...nodes.flatMap((node) =>
      node.podCIDRs.flatMap((cidr) => routeVia(node.ips, cidr, bridgeName(node.rack ?? 0), netns)),
    ),
    ...doorOf(options).flatMap((door) =>
      translatedCIDRs(options).flatMap((cidr) => routeVia(door.ips, cidr, bridgeName(door.rack ?? 0), netns)),
    ),
    ...machineSide(options, netns),
    ...nodes.flatMap((node) => nodeSide(options, node, netns)),
    ...(options.fast ? switchesOf(options) : []),
  ];
}

function withLength(cidr: CIDR, n: number): CIDR {
  return `${nthAddress(cidr, n)}/${parsePrefix(cidr).length}`;
}

function machineSide(options: FabricOptions, fabric: string): KernelItem[] {
  const { clusterName, mtu, nodeCIDRs, racks = 1 } = options;
  const link = hostLegName(clusterName);
  const leg: Link = {
    kind: 'link',
    name: link,
    mtu,
    mac: legMac([nthAddress(nodeCIDRs[0]!, MACHINE_ADDRESS)]),
    up: true,
    type: { kind: 'veth', peer: { name: MACHINE_LEG, netns: fabric } },
  };
  return [
    leg,
    { kind: 'link', netns: fabric, name: MACHINE_LEG, mtu, master: BRIDGE, up: true, type: { kind: 'existing' } },
    ...segments(options, 0).flatMap((cidr, family): KernelItem[] => {
      const src = nthAddress(cidr, MACHINE_ADDRESS);
      const via = nthAddress(cidr, ROUTER_ADDRESS);
      const all = networkOf(nodeCIDRs[family]!);
      return [
        // The kernel's own route for the prefix would not be marked as ours, and would take the place of a stranger's silently.
        { kind: 'address', link, address: withLength(cidr, MACHINE_ADDRESS), noPrefixRoute: true },
        { kind: 'route', dst: networkOf(cidr), type: 'unicast', link, src },
        ...(racks > 1 ? [{ kind: 'route', dst: all, type: 'unicast', link, via, src } as const] : []),
      ];
    }),
    ...machineRoutes(options, link),
  ];
}

/** Pods by their node, or by the router where that is in another rack, Services by one whose plug is in; whatever of the cluster's prefixes has no way ends on this machine. */
function machineRoutes(options: FabricOptions, link: string): Route[] {
  const { clusterName, nodes, nodeCIDRs, podCIDRs } = options;
  const translated = translatedCIDRs(options);
  const metric = nowhereMetric(clusterName);
  return [
    ...nodes.flatMap((node) => node.podCIDRs.flatMap((cidr) => routeVia(hopTo(options, node), cidr, link))),
    ...translated.flatMap((cidr) => doorOf(options).flatMap((door) => routeVia(hopTo(options, door), cidr, link))),
    ...[...nodeCIDRs, ...podCIDRs, ...translated].map(
      (cidr): Route => ({ kind: 'route', dst: networkOf(cidr), type: 'unreachable', metric }),
    ),
  ];
}

function translatedCIDRs({ serviceCIDRs, furtherCIDRs = [] }: FabricOptions): readonly CIDR[] {
  return [...serviceCIDRs, ...furtherCIDRs];
}

/** The node through which others reach Services: the nearest whose plug is in. */
function doorOf({ nodes, cutOff }: FabricOptions): FabricNode[] {
  const open = nodes.filter(({ name }) => !cutOff?.has(name));
  return [open.find(({ rack = 0 }) => rack === 0) ?? open[0] ?? nodes[0]].filter((node) => node !== undefined);
}

/** Where the machine, which stands in the first rack, sends what is for a node's pods. */
function hopTo(options: FabricOptions, node: FabricNode): readonly IP[] {
  if ((node.rack ?? 0) === 0) return node.ips;
  return segments(options, 0).map((cidr) => nthAddress(cidr, ROUTER_ADDRESS));
}

function routeVia(hop: readonly IP[], dst: CIDR, link: string, netns?: string): Route[] {
  const { family } = parsePrefix(dst);
  const via = hop.find((ip) => familyOf(ip) === family);
  if (via === undefined) return [];
  return [{ kind: 'route', ...(netns && { netns }), dst: networkOf(dst), type: 'unicast', link, via }];
}

export function racksOf({ racks = 1 }: FabricOptions): number[] {
  return Array.from({ length: racks }, (_, rack) => rack);
}

function segments({ nodeCIDRs, racks = 1 }: FabricOptions, rack: number): CIDR[] {
  return nodeCIDRs.map((cidr) => segmentOf(cidr, racks, rack));
}

export function bridgeName(rack: number): string {
  return rack === 0 ? BRIDGE : `${BRIDGE}-${rack + 1}`;
}

/** As nodes know the router and each other: plan/overlay/leg-neighbours.ts. */
function routersNeighbours({ ips, rack = 0 }: FabricNode, netns: string): Neighbour[] {
  return ips.map((ip) => ({ kind: 'neighbour', netns, link: bridgeName(rack), ip, mac: legMac(ips) }));
}

/** A router that sends no redirects: on a shared segment nodes know each other better than it does. */
function routerSysctls(options: FabricOptions, netns: string): Sysctl[] {
  const of = (key: string, value: string): Sysctl => ({ kind: 'sysctl', netns, key, value });
  return [
    of('net/ipv4/ip_forward', '1'),
    ...['all', ...racksOf(options).map(bridgeName)].flatMap((link) => [
      of(`net/ipv4/conf/${link}/send_redirects`, '0'),
      of(`net/ipv4/conf/${link}/rp_filter`, '0'),
    ]),
    ...(options.nodeCIDRs.some((cidr) => parsePrefix(cidr).family === 6)
      ? [{ ...of('net/ipv6/conf/all/forwarding', '1'), optional: true }]
      : []),
  ];
}

function nodeSide(options: FabricOptions, node: FabricNode, fabric: string): KernelItem[] {
  const { clusterName, mtu } = options;
  const rack = node.rack ?? 0;
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
      master: bridgeName(rack),
      up: !options.cutOff?.has(node.name),
      type: { kind: 'veth', peer: { name: NODE_LEG, netns, mac: legMac(node.ips) } },
    },
    { kind: 'link', netns, name: 'lo', mtu: 65536, up: true, type: { kind: 'existing' } },
    { kind: 'link', netns, name: NODE_LEG, mtu, mac: legMac(node.ips), up: true, type: { kind: 'existing' } },
    // Else setting the leg down, by whomever, takes its IPv6 addresses away.
    ...(hasIPv6 ? [{ kind: 'sysctl', netns, key: KEEP_ADDRESSES, value: '1', optional: true } as const] : []),
    ...node.ips.map((ip, family): KernelItem => {
      const { length } = parsePrefix(segments(options, rack)[family]!);
      return { kind: 'address', netns, link: NODE_LEG, address: `${ip}/${length}` };
    }),
  ];
}

/** The bridge's port to a node. */
export function legName(nodeName: string): string {
  const plain = `pw-${nodeName}`;
  return plain.length <= 15 ? plain : `pw-${digest(nodeName).slice(0, 12)}`;
}

/** Pulls a node's plug at the fabric's end, or puts it in again. */
export function setNodeLeg(clusterName: string, nodeName: string, up: boolean): void {
  using socket = new NetlinkSocket(NETLINK.ROUTE, fabricPath(clusterName));
  socket.request(setLink({ name: legName(nodeName) }, { up }));
}

/** What only a node that is no longer among `options.nodes` had: its leg, the ways to its pods, its namespace. */
export function removeFabricNode(options: FabricOptions, node: FabricNode): void {
  const { clusterName, mtu, hostNetns } = options;
  const netns = fabricPath(clusterName);
  const bridge = bridgeName(node.rack ?? 0);
  const peer = { name: NODE_LEG, netns: netnsPath(netnsName(clusterName, node.name)) };
  const leg: Link = { kind: 'link', netns, name: legName(node.name), mtu, up: true, type: { kind: 'veth', peer } };
  const routes = node.podCIDRs.flatMap((cidr) => routeVia(node.ips, cidr, bridge, netns));
  const remove = [...routes, ...routersNeighbours(node, netns), leg];
  withHost(hostNetns, (kernel) => kernel.apply({ add: [], change: [], remove }));
  removeNamespace(peer.netns);
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
