// Room wire: packets that an nftables rule logs to a group (NFLOG, linux/netfilter/nfnetlink_log.h), read as far as their ports.
import { formatIP, type IP } from '../../addr/ip.ts';
import { Attributes, NFGENMSG_LENGTH } from '../nfnetlink/reader.ts';
import { NfnetlinkWriter } from '../nfnetlink/writer.ts';

const SUBSYSTEM = 4;
export const NFLOG_PACKET = SUBSYSTEM << 8;
const NFLOG_CONFIG = (SUBSYSTEM << 8) | 1;
const CONFIG = { COMMAND: 1, MODE: 2, TIMEOUT: 4 };
const BIND = 1;
const COPY_PACKET = 2;
/** Enough of a packet for IPv6 with extension headers and the ports. */
const COPY_BYTES = 128;
/** The kernel gathers packets for so long, in hundredths of a second. */
const GATHER = 5;
const PACKET = { PAYLOAD: 9, PREFIX: 10 };
const HEADER = { TCP: 6, UDP: 17, SCTP: 132 };
/** IPv6 headers before the one that counts: hop-by-hop, routing, destination options; all say their length alike. */
const EXTENSIONS = [0, 43, 60];

export interface LoggedPacket {
  /** As the rule has it. */
  readonly prefix: string;
  readonly src: IP;
  readonly dst: IP;
  /** 6 TCP, 17 UDP, 132 SCTP, 1 ICMP, 58 ICMPv6 … */
  readonly protocol: number;
  /** Absent for protocols without ports. */
  readonly srcPort?: number;
  readonly dstPort?: number;
}

/** A request that makes the socket the one that is told of the group's packets. */
export function bindLogGroup(group: number): { type: number; flags: number; body: Uint8Array } {
  const w = new NfnetlinkWriter(0, 64);
  w.begin(NFLOG_CONFIG, 0, 0, group);
  w.u8(CONFIG.COMMAND, BIND);
  w.raw(CONFIG.MODE, Uint8Array.of(0, 0, 0, COPY_BYTES, COPY_PACKET, 0));
  w.u32(CONFIG.TIMEOUT, GATHER);
  return { type: NFLOG_CONFIG, flags: 0, body: w.bytes.slice(16) };
}

/** Undefined for what is no IP packet, or is cut off before its addresses. */
export function decodeLoggedPacket(body: Uint8Array): LoggedPacket | undefined {
  const found = new Attributes(body.subarray(NFGENMSG_LENGTH));
  const packet = readPacket(found.raw(PACKET.PAYLOAD) ?? new Uint8Array());
  return packet && { prefix: found.string(PACKET.PREFIX), ...packet };
}

/** The first bytes of an IP packet. */
export function readPacket(bytes: Uint8Array): Omit<LoggedPacket, 'prefix'> | undefined {
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4 && bytes.length >= 20) {
    const ports = portsAt(bytes, 4 * (bytes[0]! & 15), bytes[9]!);
    return {
      src: formatIP(bytes.subarray(12, 16)),
      dst: formatIP(bytes.subarray(16, 20)),
      protocol: bytes[9]!,
      ...ports,
    };
  }
  if (version !== 6 || bytes.length < 40) return undefined;
  let protocol = bytes[6]!;
  let at = 40;
  while (EXTENSIONS.includes(protocol) && at + 2 <= bytes.length) {
    protocol = bytes[at]!;
    at += 8 * (bytes[at + 1]! + 1);
  }
  const ports = portsAt(bytes, at, protocol);
  return { src: formatIP(bytes.subarray(8, 24)), dst: formatIP(bytes.subarray(24, 40)), protocol, ...ports };
}

function portsAt(bytes: Uint8Array, at: number, protocol: number): { srcPort?: number; dstPort?: number } {
  if (!Object.values(HEADER).includes(protocol) || at + 4 > bytes.length) return {};
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { srcPort: view.getUint16(at), dstPort: view.getUint16(at + 2) };
}
