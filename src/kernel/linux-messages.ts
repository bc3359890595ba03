// Room kernel: link items as rtnetlink requests.
import { type AddressState, deleteAddress, newAddress } from '../wire/netlink/address.ts';
import { type LinkKind, type LinkSettings, newLink, setLink } from '../wire/netlink/link.ts';
import type { NetlinkRequest } from '../wire/netlink/message.ts';
import {
  deleteFdbEntry,
  deleteNeighbour,
  deleteProxy,
  newFdbEntry,
  newNeighbour,
  newProxy,
} from '../wire/netlink/neighbour.ts';
import { deleteRootQdisc, replaceTokenBucket } from '../wire/netlink/qdisc.ts';
import { deleteRoute, newRoute, type RouteState, RT_TABLE_MAIN } from '../wire/netlink/route.ts';
import { metricOf, scopeOf } from './identity.ts';
import {
  type Address,
  type FdbEntry,
  type Link,
  type Neighbour,
  type ProxyNeighbour,
  ROUTE_PROTOCOL,
  type Route,
  type TokenBucket,
} from './items.ts';

/** Items that hang on a link or lead over it. */
export type OnLink = Address | Route | Neighbour | ProxyNeighbour | FdbEntry | TokenBucket;

/** The index of a link by its name, undefined when there is none. */
export type Indexes = (name: string) => number | undefined;

/** `peerNetns`: an open fd of the veth's peer's namespace. Undefined when the bridge does not exist. */
export function createRequest(link: Link, indexes: Indexes, peerNetns: number | undefined): NetlinkRequest | undefined {
  const settings = linkSettings(link, indexes);
  if (!settings) return undefined;
  if (link.type.kind === 'existing') return setLink({ name: link.name }, settings);
  return newLink(link.name, linkKind(link, peerNetns), settings);
}

/** Undefined when the bridge does not exist. */
export function linkSettings(link: Link, indexes: Indexes): LinkSettings | undefined {
  const master = link.master === undefined ? undefined : indexes(link.master);
  if (link.master !== undefined && master === undefined) return undefined;
  return {
    up: link.up,
    mtu: link.mtu,
    ...(link.mac !== undefined && { mac: link.mac }),
    ...(master !== undefined && { master }),
  };
}

function linkKind(link: Link, peerNetns: number | undefined): LinkKind {
  const { type } = link;
  if (type.kind === 'existing' || type.kind === 'tun') throw new TypeError(`${link.name} is not ours to create`);
  if (type.kind !== 'veth') return type;
  const { name, mac, mtu = link.mtu } = type.peer;
  return {
    kind: 'veth',
    peer: { name, mtu, ...(mac && { mac }), ...(peerNetns !== undefined && { netns: peerNetns }) },
  };
}

/** Undefined when the link does not exist. */
export function addRequest(item: OnLink, indexes: Indexes, replace: boolean): NetlinkRequest | undefined {
  if (item.kind === 'route' && item.link === undefined) return newRoute(routeState(item, undefined), replace);
  const index = indexes(item.link!);
  if (index === undefined) return undefined;
  switch (item.kind) {
    case 'address':
      return newAddress(addressState(item, index), replace);
    case 'route':
      return newRoute(routeState(item, index), replace);
    case 'neighbour':
      return newNeighbour(index, item.ip, item.mac, ROUTE_PROTOCOL);
    case 'proxy':
      return newProxy(index, item.ip, ROUTE_PROTOCOL);
    case 'fdb':
      return newFdbEntry(index, item.mac, item.dst);
    case 'bucket':
      return replaceTokenBucket(index, item);
  }
}

function addressState({ address, noPrefixRoute = false, link }: Address, index: number): AddressState {
  return { index, address, noPrefixRoute, protocol: ROUTE_PROTOCOL, hostScope: link === 'lo' };
}

function routeState(route: Route, index: number | undefined): RouteState {
  return {
    dst: route.dst,
    type: route.type,
    protocol: ROUTE_PROTOCOL,
    table: RT_TABLE_MAIN,
    scope: scopeOf(route),
    metric: metricOf(route),
    ...(index !== undefined && { index }),
    ...(route.via !== undefined && { via: route.via }),
    ...(route.onlink && { onlink: true }),
    ...(route.src !== undefined && { src: route.src }),
    ...(route.mtu !== undefined && { mtu: route.mtu }),
  };
}

/** Undefined when the link does not exist, and so nothing that hung on it. */
export function removeRequest(item: OnLink, indexes: Indexes): NetlinkRequest | undefined {
  if (item.kind === 'route') {
    return deleteRoute({ dst: item.dst, protocol: ROUTE_PROTOCOL, table: RT_TABLE_MAIN, metric: metricOf(item) });
  }
  const index = indexes(item.link);
  if (index === undefined) return undefined;
  switch (item.kind) {
    case 'address':
      return deleteAddress(index, item.address);
    case 'neighbour':
      return deleteNeighbour(index, item.ip);
    case 'proxy':
      return deleteProxy(index, item.ip);
    case 'fdb':
      return deleteFdbEntry(index, item.mac);
    case 'bucket':
      return deleteRootQdisc(index);
  }
}
