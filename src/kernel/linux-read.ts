// Room kernel: dumps of one namespace turned into the items that are ours.
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import type { MAC } from '../addr/mac.ts';
import { parsePrefix } from '../addr/prefix.ts';
import { SysError } from '../sys/ffi.ts';
import { NETLINK, NetlinkError, NetlinkSocket } from '../sys/netlink-socket.ts';
import { type AddressState, decodeAddress, getAddresses } from '../wire/netlink/address.ts';
import { decodeLink, getLink, type LinkState } from '../wire/netlink/link.ts';
import type { NetlinkMessage } from '../wire/netlink/message.ts';
import { decodeNeighbour, getNeighbours, getProxies } from '../wire/netlink/neighbour.ts';
import { decodeRoute, getRoutes, lookUpRoute, type RouteState, RT_TABLE_MAIN } from '../wire/netlink/route.ts';
import { isOurLink } from './identity.ts';
import type { Address, FdbEntry, Link, LinkItem, LinkType, Neighbour, ProxyNeighbour, Route } from './items.ts';
import { ROUTE_PROTOCOL } from './items.ts';
import { REMOVED_GROUP } from './link-removal.ts';

/** Links by our prefix, what is on them, and routes by our protocol. Families that the kernel lacks are empty. */
export function readLinkItems(socket: NetlinkSocket): LinkItem[] {
  const links = socket.dump(getLink()).map(decodeLink);
  const names = new Map(links.map((link) => [link.index, link.name]));
  const ours = new Map<number, LinkState>();
  for (const link of links) {
    if (isOurLink(link.name) && link.group !== REMOVED_GROUP) ours.set(link.index, link);
  }
  return [
    ...[...ours.values()].flatMap((link) => linkItem(link, names) ?? []),
    ...readAddresses(socket, ours),
    ...readNeighbours(socket, ours, names),
    ...readFdb(socket, ours),
    ...readProxies(socket, names),
    ...readRoutes(socket, names),
  ];
}

/** Undefined for kinds that we never make. */
export function linkItem(link: LinkState, names: ReadonlyMap<number, string>): Link | undefined {
  const type = linkType(link);
  if (!type) return undefined;
  const { name, mtu, up, mac } = link;
  const master = names.get(link.master);
  return { kind: 'link', name, mtu, up, ...(mac && { mac }), ...(master && { master }), type };
}

function linkType(link: LinkState): LinkType | undefined {
  // The far end's name is known only in its own namespace.
  if (link.kind === 'veth') return { kind: 'veth', peer: { name: '' } };
  if (link.kind === 'bridge' || link.kind === 'tun') return { kind: link.kind };
  if (link.ipip) return { kind: 'ipip', local: link.ipip.local };
  if (!link.vxlan) return undefined;
  const { vni, local, port } = link.vxlan;
  return { kind: 'vxlan', vni, local, port };
}

/** On all links, whoever put them there. */
export function readAddressStates(socket: NetlinkSocket): AddressState[] {
  return ([4, 6] as const).flatMap((family) => socket.dump(getAddresses(family)).map(decodeAddress));
}

function readAddresses(socket: NetlinkSocket, ours: ReadonlyMap<number, LinkState>): Address[] {
  const items: Address[] = [];
  for (const { index, address, noPrefixRoute, protocol } of readAddressStates(socket)) {
    const link = ours.get(index);
    // Link-local addresses come by themselves. A kernel without IFA_PROTO (before 5.18) tells 0.
    if (!link || address.startsWith('fe80:') || (protocol !== ROUTE_PROTOCOL && protocol !== 0)) continue;
    items.push({ kind: 'address', link: link.name, address, ...(noPrefixRoute && { noPrefixRoute }) });
  }
  return items;
}

/** All on our links but those that are being removed, and on others' what carries our mark. */
function readNeighbours(
  socket: NetlinkSocket,
  ours: ReadonlyMap<number, LinkState>,
  names: ReadonlyMap<number, string>,
): Neighbour[] {
  const items: Neighbour[] = [];
  for (const family of [4, 6] as const) {
    for (const message of socket.dump(getNeighbours(family))) {
      const { index, ip, mac, permanent, protocol } = decodeNeighbour(message);
      const link = names.get(index);
      if (link === undefined || !ip || !mac || !permanent) continue;
      if (isOurLink(link) ? ours.has(index) : protocol === ROUTE_PROTOCOL)
        items.push({ kind: 'neighbour', link, ip, mac });
    }
  }
  return items;
}

/** By our mark alone: they hang on links that are not ours. */
function readProxies(socket: NetlinkSocket, names: ReadonlyMap<number, string>): ProxyNeighbour[] {
  const items: ProxyNeighbour[] = [];
  for (const message of socket.dump(getProxies(6))) {
    const { index, ip, protocol } = decodeNeighbour(message);
    const link = names.get(index);
    if (link !== undefined && ip !== undefined && protocol === ROUTE_PROTOCOL) items.push({ kind: 'proxy', link, ip });
  }
  return items;
}

function readFdb(socket: NetlinkSocket, ours: ReadonlyMap<number, LinkState>): FdbEntry[] {
  if (![...ours.values()].some((link) => link.vxlan)) return [];
  const items: FdbEntry[] = [];
  for (const message of socket.dump(getNeighbours('bridge'))) {
    const { index, ip: dst, mac, permanent } = decodeNeighbour(message);
    const link = ours.get(index);
    if (link?.vxlan && dst && mac && permanent) items.push({ kind: 'fdb', link: link.name, mac, dst });
  }
  return items;
}

function readRoutes(socket: NetlinkSocket, names: ReadonlyMap<number, string>): Route[] {
  const items: Route[] = [];
  for (const family of [4, 6] as const) {
    for (const message of dumpRoutes(socket, family)) {
      const route = decodeRoute(message);
      if (route?.protocol === ROUTE_PROTOCOL && route.table === RT_TABLE_MAIN) items.push(routeItem(route, names));
    }
  }
  return items;
}

/** A fresh namespace has no table yet: ENOENT. */
function dumpRoutes(socket: NetlinkSocket, family: Family): NetlinkMessage[] {
  try {
    return socket.dump(getRoutes(family, ROUTE_PROTOCOL, RT_TABLE_MAIN));
  } catch (error) {
    if (error instanceof SysError && error.code === 'ENOENT') return [];
    throw error;
  }
}

export function routeItem(route: RouteState, names: ReadonlyMap<number, string>): Route {
  const { dst, type, via, onlink, scope, src, metric, mtu } = route;
  const link = route.index === undefined ? undefined : names.get(route.index);
  return {
    kind: 'route',
    dst,
    type,
    ...(link && { link }),
    ...(via && { via }),
    ...(onlink && { onlink }),
    scope,
    ...(src && { src }),
    metric,
    ...(mtu !== undefined && { mtu }),
  };
}

/** The name of the link that has the address, as the calling thread's namespace (or that of `netns`) has it. */
export function linkWithAddress(ip: IP, netns?: string): string | undefined {
  using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
  const found = socket
    .dump(getAddresses(familyOf(ip)))
    .map(decodeAddress)
    .find((state) => parsePrefix(state.address).ip === ip);
  return (
    found &&
    socket
      .dump(getLink())
      .map(decodeLink)
      .find((link) => link.index === found.index)?.name
  );
}

/** Index and MAC of a link; undefined when there is none of that name, or it has no MAC. */
export function linkFacts(name: string, netns?: string): { readonly index: number; readonly mac: MAC } | undefined {
  using socket = new NetlinkSocket(NETLINK.ROUTE, netns);
  const link = socket
    .dump(getLink())
    .map(decodeLink)
    .find((each) => each.name === name);
  return link?.mac === undefined ? undefined : { index: link.index, mac: link.mac };
}

/** Of the route that leads there, where it has one, else of its link. Undefined: none leads there. */
export function mtuTo(socket: NetlinkSocket, ip: IP): number | undefined {
  const [answer] = socket.ask([lookUpRoute(ip)]);
  if (!answer || answer instanceof NetlinkError) return undefined;
  const route = decodeRoute(answer);
  if (route?.index === undefined) return undefined;
  if (route.mtu !== undefined) return route.mtu;
  const [link] = socket.ask([getLink({ index: route.index })]);
  return link && !(link instanceof NetlinkError) ? decodeLink(link).mtu : undefined;
}
