// Room wire: rtnetlink routes (linux/rtnetlink.h, struct rtmsg).
import { type Family, formatIP, type IP, ipBytes } from '../../addr/ip.ts';
import type { CIDR } from '../../addr/prefix.ts';
import { Attributes, AttributeWriter } from './attributes.ts';
import { NetlinkFormatError, type NetlinkMessage, type NetlinkRequest, NLM_F } from './message.ts';
import { AF_INET, AF_INET6, afOfFamily, RTM, structOf, wirePrefix } from './rtnetlink.ts';

const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, METRICS: 8, TABLE: 15 };
const RTAX_LOCK = 1;
const RTAX_MTU = 2;
const RTNH_F_ONLINK = 4;
const RTMSG_LENGTH = 12;
export const RT_TABLE_MAIN = 254;
const TYPES = { unicast: 1, local: 2, blackhole: 6, unreachable: 7 } as const;
const SCOPES = { global: 0, link: 253, host: 254 } as const;

export type RouteType = keyof typeof TYPES;

export interface RouteState {
  readonly dst: CIDR;
  readonly type: RouteType;
  /** Who put it there: rtm_protocol. */
  readonly protocol: number;
  readonly table: number;
  /** Index of the link. */
  readonly index?: number;
  readonly via?: IP;
  readonly onlink?: boolean;
  readonly scope: 'global' | 'link' | 'host';
  readonly src?: IP;
  /** Smaller wins. IPv6 turns 0 into 1024. */
  readonly metric: number;
  readonly mtu?: number;
}

function encode(route: RouteState): AttributeWriter {
  const { af, ip, length } = wirePrefix(route.dst);
  const header = new Uint8Array(RTMSG_LENGTH);
  header.set([af, length, 0, 0, 0, route.protocol, SCOPES[route.scope], TYPES[route.type]]);
  new DataView(header.buffer).setUint32(8, route.onlink ? RTNH_F_ONLINK : 0, true);
  const writer = new AttributeWriter().struct(header);
  if (length > 0) writer.bytes(RTA.DST, ipBytes(ip));
  writer.u32(RTA.TABLE, route.table).u32(RTA.PRIORITY, route.metric);
  if (route.index !== undefined) writer.u32(RTA.OIF, route.index);
  if (route.via !== undefined) writer.bytes(RTA.GATEWAY, ipBytes(route.via));
  if (route.src !== undefined) writer.bytes(RTA.PREFSRC, ipBytes(route.src));
  const { mtu } = route;
  if (mtu !== undefined) {
    writer.nested(RTA.METRICS, (metrics) => {
      // IPv6 heeds the MTU of a route in forwarding only where it is locked (ip6_dst_mtu_maybe_forward).
      if (af === AF_INET6) metrics.u32(RTAX_LOCK, 1 << RTAX_MTU);
      metrics.u32(RTAX_MTU, mtu);
    });
  }
  return writer;
}

/** `replace`: put it in the place of the route with the same destination and metric. Otherwise EEXIST when there is one. */
export function newRoute(route: RouteState, replace = false): NetlinkRequest {
  const flags = NLM_F.CREATE | (replace ? NLM_F.REPLACE : NLM_F.EXCL);
  return { type: RTM.NEWROUTE, flags, body: encode(route).finish() };
}

/** Deletes the route of this protocol, destination, table and metric, whatever its gateway. ESRCH when there is none. */
export function deleteRoute(route: Pick<RouteState, 'dst' | 'protocol' | 'table' | 'metric'>): NetlinkRequest {
  const { af, ip, length } = wirePrefix(route.dst);
  const header = new Uint8Array(RTMSG_LENGTH);
  // Scope "nowhere" (255) and type 0 match any.
  header.set([af, length, 0, 0, 0, route.protocol, 255, 0]);
  const writer = new AttributeWriter().struct(header);
  if (length > 0) writer.bytes(RTA.DST, ipBytes(ip));
  writer.u32(RTA.TABLE, route.table).u32(RTA.PRIORITY, route.metric);
  return { type: RTM.DELROUTE, flags: 0, body: writer.finish() };
}

/** A dump of one table and protocol; the kernel filters it (NETLINK_GET_STRICT_CHK), older ones do not. */
export function getRoutes(family: Family, protocol: number, table: number): NetlinkRequest {
  const header = new Uint8Array(RTMSG_LENGTH);
  header.set([afOfFamily(family), 0, 0, 0, 0, protocol, 0, 0]);
  return { type: RTM.GETROUTE, flags: 0, body: new AttributeWriter().struct(header).u32(RTA.TABLE, table).finish() };
}

/** Which route a packet of the machine's own to this address would take: one answer, whatever the number of routes. */
export function lookUpRoute(ip: IP): NetlinkRequest {
  const bytes = ipBytes(ip);
  const header = new Uint8Array(RTMSG_LENGTH);
  header.set([bytes.length === 4 ? AF_INET : AF_INET6, bytes.length * 8]);
  return { type: RTM.GETROUTE, flags: 0, body: new AttributeWriter().struct(header).bytes(RTA.DST, bytes).finish() };
}

/** Undefined for types that are never ours (broadcast, multicast). Throws a NetlinkFormatError when malformed. */
export function decodeRoute(message: NetlinkMessage): RouteState | undefined {
  const header = structOf(message, RTMSG_LENGTH);
  const type = nameOf(TYPES, header.getUint8(7));
  const scope = nameOf(SCOPES, header.getUint8(6)) ?? 'global';
  if (!type) return undefined;
  const attributes = new Attributes(message.body, RTMSG_LENGTH);
  const index = attributes.u32(RTA.OIF);
  const via = addressOf(attributes, RTA.GATEWAY);
  const src = addressOf(attributes, RTA.PREFSRC);
  const mtu = attributes.nested(RTA.METRICS)?.u32(RTAX_MTU);
  const route: RouteState = {
    dst: destination(header, attributes),
    type,
    protocol: header.getUint8(5),
    table: attributes.u32(RTA.TABLE) ?? header.getUint8(4),
    // IPv6 hangs its unreachable routes on lo.
    ...(index !== undefined && (type === 'unicast' || type === 'local') && { index }),
    ...(via !== undefined && { via }),
    ...((header.getUint32(8, true) & RTNH_F_ONLINK) !== 0 && { onlink: true }),
    scope,
    ...(src !== undefined && { src }),
    metric: attributes.u32(RTA.PRIORITY) ?? 0,
    ...(mtu !== undefined && { mtu }),
  };
  attributes.check();
  return route;
}

function destination(header: DataView, attributes: Attributes): CIDR {
  const af = header.getUint8(0);
  if (af !== AF_INET && af !== AF_INET6) throw new NetlinkFormatError(`rtnetlink route of address family ${af}`);
  return `${addressOf(attributes, RTA.DST) ?? (af === AF_INET ? '0.0.0.0' : '::')}/${header.getUint8(1)}`;
}

function addressOf(attributes: Attributes, type: number): IP | undefined {
  const bytes = attributes.bytes(type);
  return bytes?.length === 4 || bytes?.length === 16 ? formatIP(bytes) : undefined;
}

function nameOf<T extends Record<string, number>>(table: T, value: number): keyof T | undefined {
  return Object.keys(table).find((name) => table[name] === value);
}
