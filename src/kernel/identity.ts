// Room kernel: when two items speak of the same thing, and when what the kernel tells satisfies what is wanted.
import { isDeepStrictEqual } from 'node:util';
import { familyOf } from '../addr/ip.ts';
import { networkOf } from '../addr/prefix.ts';
import type { FastPathItem, KernelItem, LinkItem, Route } from './items.ts';
import type { NftElement } from './nft-items.ts';

/** Equal for two items of one identity, as items.ts and nft-items.ts define it. */
export function identityOf(item: KernelItem): string {
  switch (item.kind) {
    case 'link':
      return `link ${item.netns ?? ''} ${item.name}`;
    case 'address':
      return `address ${item.netns ?? ''} ${item.link} ${item.address}`;
    case 'route':
      return `route ${item.netns ?? ''} ${item.dst} ${metricOf(item)}`;
    case 'neighbour':
      return `neighbour ${item.netns ?? ''} ${item.link} ${item.ip}`;
    case 'proxy':
      return `proxy ${item.netns ?? ''} ${item.link} ${item.ip}`;
    case 'fdb':
      return `fdb ${item.netns ?? ''} ${item.link} ${item.mac}`;
    case 'ipip':
      return `ipip ${item.netns ?? ''} ${item.link}`;
    case 'ipip-peer':
      return `ipip-peer ${item.netns ?? ''} ${item.link} ${item.dst}`;
    case 'bucket':
      return `bucket ${item.netns ?? ''} ${item.link}`;
    case 'fast-path':
      return `fast-path ${item.netns ?? ''} ${item.link}`;
    case 'fast-pod':
      return `fast-pod ${item.netns ?? ''} ${item.ip}`;
    case 'fast-route':
      return `fast-route ${item.netns ?? ''} ${item.dst}`;
    case 'switch':
      return `switch ${item.netns ?? ''} ${item.bridge}`;
    case 'sysctl':
      return `sysctl ${item.netns ?? ''} ${item.key}`;
    case 'table':
      return `table ${item.family} ${item.table}`;
    case 'chain':
      return `chain ${item.family} ${item.table} ${item.chain}`;
    case 'set':
      return `set ${item.family} ${item.table} ${item.set}`;
    case 'element':
      return `element ${item.family} ${item.table} ${item.set} ${item.key.join(' . ')}`;
  }
}

/** Of two items of one identity. */
export function sameItem(a: KernelItem, b: KernelItem): boolean {
  if (a === b) return true;
  // There are 100,000 of these: to go through their fields by name takes ten times as long.
  if (a.kind === 'element' && b.kind === 'element') return a.comment === b.comment && sameData(a.data, b.data);
  return isDeepStrictEqual(a, b);
}

function sameData(a: NftElement['data'], b: NftElement['data']): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b || isDeepStrictEqual(a, b);
  return a.length === b.length && a.every((part, i) => part === b[i]);
}

/** What the kernel makes of an absent metric: 0 for IPv4, 1024 for IPv6 (IP6_RT_PRIO_USER). */
export function metricOf(route: Pick<Route, 'dst' | 'metric'>): number {
  return route.metric || (familyOf(route.dst) === 6 ? 1024 : 0);
}

/** What an absent scope means: a route without a gateway leads to neighbours on the link. IPv6 knows no scopes. */
export function scopeOf(route: Route): 'global' | 'link' | 'host' {
  if (route.scope && familyOf(route.dst) === 4) return route.scope;
  if (route.type === 'local' && familyOf(route.dst) === 4) return 'host';
  const direct = route.type === 'unicast' && route.via === undefined;
  return direct && familyOf(route.dst) === 4 ? 'link' : 'global';
}

export function isLinkItem(item: KernelItem): item is LinkItem {
  return item.kind !== 'table' && item.kind !== 'chain' && item.kind !== 'set' && item.kind !== 'element';
}

export function isFastPathItem(item: KernelItem): item is FastPathItem {
  return item.kind === 'fast-path' || item.kind === 'fast-pod' || item.kind === 'fast-route';
}

/** Whether `read()` can tell of such an item at all: not of other namespaces, sysctls, token buckets, eBPF, and links that are not ours. */
export function isReadable(item: KernelItem): boolean {
  if (!isLinkItem(item)) return true;
  if (item.netns !== undefined || item.kind === 'sysctl' || item.kind === 'bucket') return false;
  if (item.kind === 'ipip' || item.kind === 'ipip-peer' || item.kind === 'switch' || isFastPathItem(item)) return false;
  if (item.kind === 'link') return item.type.kind !== 'existing';
  return item.kind !== 'address' || isOurLink(item.link);
}

/** Interfaces whose names begin with `pw` are ours. */
export function isOurLink(name: string): boolean {
  return name.startsWith('pw');
}

/** Whether an item as read() gave it is the wanted one. A dump tells a MAC that nobody asked for, and no veth's far end. */
export function satisfies(have: KernelItem, want: KernelItem): boolean {
  if (have.kind === 'link' && want.kind === 'link') {
    if (have.mtu !== want.mtu || have.up !== want.up || have.master !== want.master) return false;
    if (want.mac !== undefined && have.mac !== want.mac) return false;
    if (have.type.kind === 'veth') return want.type.kind === 'veth';
    return isDeepStrictEqual(have.type, want.type);
  }
  if (have.kind === 'route' && want.kind === 'route')
    return isDeepStrictEqual(canonicalRoute(have), canonicalRoute(want));
  if (have.kind === 'address' && want.kind === 'address') {
    return have.address === want.address && !have.noPrefixRoute === !want.noPrefixRoute;
  }
  if (have.kind === 'sysctl' && want.kind === 'sysctl') return have.value === want.value;
  return sameItem(have, want);
}

function canonicalRoute(route: Route) {
  const { link, via, onlink, src, mtu, type, dst, netns } = route;
  const scope = scopeOf(route);
  return {
    netns,
    dst: networkOf(dst),
    type,
    link,
    via,
    onlink: onlink === true,
    scope,
    src,
    mtu,
    metric: metricOf(route),
  };
}
