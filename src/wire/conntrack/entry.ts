// Room wire: connection tracking entries over netlink (linux/netfilter/nfnetlink_conntrack.h): dumped, compared, deleted.
import { type Family, formatIP, type IP, ipBytes } from '../../addr/ip.ts';
import { NLM_F } from '../netlink/message.ts';
import { Attributes, NFGENMSG_LENGTH } from '../nfnetlink/reader.ts';
import { NfnetlinkWriter } from '../nfnetlink/writer.ts';

export interface Tuple {
  readonly src: IP;
  readonly dst: IP;
  /** 6 TCP, 17 UDP, 132 SCTP. */
  readonly protocol: number;
  /** Absent for protocols without ports. */
  readonly srcPort?: number;
  readonly dstPort?: number;
  /** Identifier, type and code, of ICMP and ICMPv6. */
  readonly icmp?: readonly [id: number, type: number, code: number];
}

export interface ConntrackEntry {
  /** As the client sent it. */
  readonly original: Tuple;
  /** As the answer comes: its source is where the flow was sent by DNAT. */
  readonly reply: Tuple;
  /** Tells an entry from a later one of the same tuple. */
  readonly id: number;
}

const SUBSYSTEM = 1;
export const CONNTRACK_GET = (SUBSYSTEM << 8) | 1;
const CONNTRACK_DELETE = (SUBSYSTEM << 8) | 2;
const NFPROTO = { 4: 2, 6: 10 } as const;
const CTA = { TUPLE_ORIGINAL: 1, TUPLE_REPLY: 2, STATUS: 3, ID: 12 };
const IPS_SEEN_REPLY = 2;
const TUPLE = { IP: 1, PROTO: 2 };
const ADDRESS = { 4: { SRC: 1, DST: 2 }, 6: { SRC: 3, DST: 4 } };
const PROTO = { NUMBER: 1, SRC_PORT: 2, DST_PORT: 3 };
/** Of the protocols' own attributes: identifier; type and code come after it. */
const ICMP_ID: Readonly<Record<number, number>> = { 1: 4, 58: 7 };

export const PROTOCOL_NUMBERS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/** What to look for: the original tuple's protocol, destination and port, and where the reply comes from. */
export interface EntryFilter {
  readonly protocol: keyof typeof PROTOCOL_NUMBERS;
  readonly originalDst?: IP;
  readonly originalDstPort?: number;
  readonly replySrc?: IP;
  readonly replySrcPort?: number;
  readonly except?: readonly { readonly ip: IP; readonly port: number }[];
}

export function matchesFilter({ original, reply }: ConntrackEntry, filter: EntryFilter): boolean {
  const agrees = <T>(wanted: T | undefined, actual: T | undefined) => wanted === undefined || wanted === actual;
  return (
    original.protocol === PROTOCOL_NUMBERS[filter.protocol] &&
    agrees(filter.originalDst, original.dst) &&
    agrees(filter.originalDstPort, original.dstPort) &&
    agrees(filter.replySrc, reply.src) &&
    agrees(filter.replySrcPort, reply.srcPort) &&
    !filter.except?.some(({ ip, port }) => ip === reply.src && port === reply.srcPort)
  );
}

/** Body of a dump of one family's entries. */
export function conntrackDumpBody(family: Family): Uint8Array {
  return Uint8Array.of(NFPROTO[family], 0, 0, 0);
}

export function decodeEntry(body: Uint8Array): ConntrackEntry {
  const found = new Attributes(body.subarray(NFGENMSG_LENGTH));
  return {
    original: decodeTuple(found.nested(CTA.TUPLE_ORIGINAL)),
    reply: decodeTuple(found.nested(CTA.TUPLE_REPLY)),
    id: found.u32(CTA.ID) ?? 0,
  };
}

/** Whether the other end has ever answered. */
export function isAnswered(body: Uint8Array): boolean {
  const status = new Attributes(body.subarray(NFGENMSG_LENGTH)).u32(CTA.STATUS) ?? 0;
  return (status & IPS_SEEN_REPLY) !== 0;
}

function decodeTuple(tuple: Attributes): Tuple {
  const ip = tuple.nested(TUPLE.IP);
  const proto = tuple.nested(TUPLE.PROTO);
  const family = ip.has(ADDRESS[4].SRC) ? 4 : 6;
  const { SRC, DST } = ADDRESS[family];
  const length = family === 4 ? 4 : 16;
  const srcPort = proto.u16(PROTO.SRC_PORT);
  const dstPort = proto.u16(PROTO.DST_PORT);
  const protocol = proto.bytes(PROTO.NUMBER, 1)[0]!;
  const icmp = ICMP_ID[protocol];
  return {
    src: formatIP(ip.bytes(SRC, length)),
    dst: formatIP(ip.bytes(DST, length)),
    protocol,
    ...(icmp && { icmp: [proto.u16(icmp) ?? 0, proto.u8(icmp + 1) ?? 0, proto.u8(icmp + 2) ?? 0] as const }),
    ...(srcPort !== undefined && { srcPort }),
    ...(dstPort !== undefined && { dstPort }),
  };
}

/** A request that deletes this entry, and not a later one with the same tuple. */
export function encodeDelete({ original, id }: ConntrackEntry): { type: number; flags: number; body: Uint8Array } {
  const family: Family = original.src.includes(':') ? 6 : 4;
  const w = new NfnetlinkWriter(0, 128);
  w.begin(CONNTRACK_DELETE, NLM_F.REQUEST, NFPROTO[family]);
  const tuple = w.open(CTA.TUPLE_ORIGINAL);
  const ip = w.open(TUPLE.IP);
  w.raw(ADDRESS[family].SRC, ipBytes(original.src));
  w.raw(ADDRESS[family].DST, ipBytes(original.dst));
  w.close(ip);
  const proto = w.open(TUPLE.PROTO);
  w.u8(PROTO.NUMBER, original.protocol);
  if (original.srcPort !== undefined) w.u16(PROTO.SRC_PORT, original.srcPort);
  if (original.dstPort !== undefined) w.u16(PROTO.DST_PORT, original.dstPort);
  const icmp = ICMP_ID[original.protocol];
  if (icmp && original.icmp) {
    w.u16(icmp, original.icmp[0]);
    w.u8(icmp + 1, original.icmp[1]);
    w.u8(icmp + 2, original.icmp[2]);
  }
  w.close(proto);
  w.close(tuple);
  w.u32(CTA.ID, id);
  return { type: CONNTRACK_DELETE, flags: 0, body: w.bytes.slice(16) };
}
