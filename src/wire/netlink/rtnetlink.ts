// Room wire: what all rtnetlink messages share (linux/rtnetlink.h).
import { type Family, familyOf } from '../../addr/ip.ts';
import { parsePrefix } from '../../addr/prefix.ts';
import { NetlinkFormatError, type NetlinkMessage } from './message.ts';

export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  DELQDISC: 37,
  DELTFILTER: 45,
  NEWNETCONF: 80,
} as const;

/** Multicast groups, for NetlinkSocket.subscribe. */
export const RTNLGRP = {
  LINK: 1,
  NEIGH: 3,
  TC: 4,
  IPV4_IFADDR: 5,
  IPV4_ROUTE: 7,
  IPV6_IFADDR: 9,
  IPV6_ROUTE: 11,
  IPV4_NETCONF: 24,
  IPV6_NETCONF: 25,
} as const;

export const AF_INET = 2;
export const AF_BRIDGE = 7;
export const AF_INET6 = 10;

export function afOf(ip: string): number {
  return familyOf(ip) === 4 ? AF_INET : AF_INET6;
}

export function afOfFamily(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

export interface WirePrefix {
  readonly af: number;
  readonly ip: string;
  readonly length: number;
}

export function wirePrefix(cidr: string): WirePrefix {
  const { ip, length, family } = parsePrefix(cidr);
  return { af: afOfFamily(family), ip, length };
}

/** The fixed struct at the start of a body, checked to be there whole. */
export function structOf(message: NetlinkMessage, length: number): DataView {
  const { body } = message;
  if (body.length < length) throw new NetlinkFormatError(`rtnetlink message ${message.type} of ${body.length} bytes`);
  return new DataView(body.buffer, body.byteOffset, length);
}
