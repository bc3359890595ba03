// Room wire: neighbour solicitations and advertisements of IPv6 (RFC 4861): ICMPv6 bodies; the kernel fills in the checksum.
import { formatIP, type IP, ipBytes } from '../addr/ip.ts';
import { formatMAC, type MAC, macBytes } from '../addr/mac.ts';

export const ND_SOLICIT = 135;
export const ND_ADVERT = 136;
const OPTION_SOURCE_MAC = 1;
const OPTION_TARGET_MAC = 2;
const ROUTER_FLAG = 0x80;
const OVERRIDE_FLAG = 0x20;
const HEAD = 24;
/** RFC 4291, section 2.7.1. */
const SOLICITED_NODE = 'ff02::1:ff00:0';
export const ALL_NODES: IP = 'ff02::1';

function withOption(type: number, flags: number, target: IP, option: number, mac: MAC): Uint8Array {
  const bytes = new Uint8Array(HEAD + 8);
  bytes[0] = type;
  bytes[4] = flags;
  bytes.set(ipBytes(target), 8);
  bytes.set([option, 1], HEAD);
  bytes.set(macBytes(mac), HEAD + 2);
  return bytes;
}

/** Who has `target`? To be sent to solicitedNode(target) with hop limit 255. */
export function neighbourSolicitation(target: IP, senderMAC: MAC): Uint8Array {
  return withOption(ND_SOLICIT, 0, target, OPTION_SOURCE_MAC, senderMAC);
}

/** Unsolicited: `target` is at `mac` from now on, whatever was known. To be sent to ALL_NODES with hop limit 255. */
export function neighbourAnnouncement(target: IP, mac: MAC): Uint8Array {
  return withOption(ND_ADVERT, ROUTER_FLAG | OVERRIDE_FLAG, target, OPTION_TARGET_MAC, mac);
}

export interface NeighbourAdvertisement {
  readonly target: IP;
  /** Absent where the sender may be taken to be known already. */
  readonly mac?: MAC;
}

/** Undefined when it is another message, or cut off. */
export function decodeAdvertisement(bytes: Uint8Array): NeighbourAdvertisement | undefined {
  if (bytes.length < HEAD || bytes[0] !== ND_ADVERT) return undefined;
  const target = formatIP(bytes.subarray(8, HEAD));
  for (let at = HEAD; at + 8 <= bytes.length && bytes[at + 1] !== 0; at += bytes[at + 1]! * 8) {
    if (bytes[at] === OPTION_TARGET_MAC) return { target, mac: formatMAC(bytes.subarray(at + 2, at + 8)) };
  }
  return { target };
}

export function solicitedNode(ip: IP): IP {
  const bytes = ipBytes(SOLICITED_NODE);
  bytes.set(ipBytes(ip).subarray(13), 13);
  return formatIP(bytes);
}
