// Room wire: connection tracking entries over netlink (linux/netfilter/nfnetlink_conntrack.h): dumped, compared, deleted.
import { type Family, familyOf, formatIP, type IP, ipBytes } from '../../addr/ip.ts';
import { type NetlinkRequest, NLM_F } from '../netlink/message.ts';
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

/** Of netlink, which a socket writes. */
const HEADER_LENGTH = 16;
const SUBSYSTEM = 1;
export const CONNTRACK_GET = (SUBSYSTEM << 8) | 1;
const CONNTRACK_NEW = SUBSYSTEM << 8;
const CONNTRACK_DELETE = (SUBSYSTEM << 8) | 2;
const NFPROTO = { 4: 2, 6: 10 } as const;
const CTA = { TUPLE_ORIGINAL: 1, TUPLE_REPLY: 2, STATUS: 3, TIMEOUT: 7, ID: 12, FILTER: 25 };
const FILTER = { ORIGINAL: 1, REPLY: 2 };
/** Of a tuple's fields those that the kernel is to look at (nf_conntrack_netlink.c); in the host's order, as nothing else here. */
const LOOK_AT = { SRC: 1 << 0, DST: 1 << 1, PROTOCOL: 1 << 3, SRC_PORT: 1 << 4, DST_PORT: 1 << 5 };
const IPS_SEEN_REPLY = 2;
/** No packet prolongs the entry. */
const IPS_FIXED_TIMEOUT = 1 << 10;
const TUPLE = { IP: 1, PROTO: 2 };
const ADDRESS = { 4: { SRC: 1, DST: 2 }, 6: { SRC: 3, DST: 4 } };
const PROTO = { NUMBER: 1, SRC_PORT: 2, DST_PORT: 3 };
/** Of the protocols' own attributes: identifier; type and code come after it. */
const ICMP_ID: Readonly<Record<number, number>> = { 1: 4, 58: 7 };

export const PROTOCOL_NUMBERS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/** What to look for: every field that is given. */
export interface EntryFilter {
  readonly protocol?: keyof typeof PROTOCOL_NUMBERS;
  readonly originalSrc?: IP;
  readonly originalDst?: IP;
  readonly originalDstPort?: number;
  readonly replySrc?: IP;
  readonly replySrcPort?: number;
  readonly except?: readonly { readonly ip: IP; readonly port: number }[];
}

export function matchesFilter({ original, reply }: ConntrackEntry, filter: EntryFilter): boolean {
  const agrees = <T>(wanted: T | undefined, actual: T | undefined) => wanted === undefined || wanted === actual;
  return (
    agrees(filter.protocol && PROTOCOL_NUMBERS[filter.protocol], original.protocol) &&
    agrees(filter.originalSrc, original.src) &&
    agrees(filter.originalDst, original.dst) &&
    agrees(filter.originalDstPort, original.dstPort) &&
    agrees(filter.replySrc, reply.src) &&
    agrees(filter.replySrcPort, reply.srcPort) &&
    !filter.except?.some(({ ip, port }) => ip === reply.src && port === reply.srcPort)
  );
}

/** Families of which entries can match. */
export function familiesOf({ originalSrc, originalDst, replySrc }: EntryFilter): readonly Family[] {
  const address = originalSrc ?? originalDst ?? replySrc;
  return address === undefined ? [4, 6] : [familyOf(address)];
}

/** What of a filter the kernel can look for itself. Of IPv6 addresses it tells all entries but those that have them (seen on Linux 6.18). */
export function inKernel(family: Family, { except: _, ...filter }: EntryFilter): EntryFilter {
  if (family === 4) return filter;
  const { originalSrc: _src, originalDst: _dst, replySrc: _reply, ...rest } = filter;
  return rest;
}

/**
 * Body of a dump of one family's entries, or of those that match what is inKernel(): the kernel goes through its whole table all the same,
 * at a tenth of what it costs to tell of all (CTA_FILTER, Linux 5.8).
 */
export function conntrackDumpBody(family: Family, filter: EntryFilter = {}): Uint8Array {
  const { protocol, originalSrc, originalDst, originalDstPort, replySrc, replySrcPort } = filter;
  const number = protocol && PROTOCOL_NUMBERS[protocol];
  const w = new NfnetlinkWriter(0, 128);
  w.begin(CONNTRACK_GET, NLM_F.REQUEST, NFPROTO[family]);
  const original = { src: originalSrc, dst: originalDst, protocol: number, dstPort: originalDstPort };
  const wanted: [type: number, flags: number][] = [
    [FILTER.ORIGINAL, writeTuple(w, CTA.TUPLE_ORIGINAL, family, original)],
    [FILTER.REPLY, writeTuple(w, CTA.TUPLE_REPLY, family, { src: replySrc, protocol: number, srcPort: replySrcPort })],
  ];
  const found = w.open(CTA.FILTER);
  for (const [type, flags] of wanted) w.raw(type, new Uint8Array(Uint32Array.of(flags).buffer));
  w.close(found);
  return w.bytes.slice(HEADER_LENGTH);
}

/** Some fields of a tuple. The kernel looks at no port without its protocol. */
type TupleFields = { readonly [K in keyof Tuple]?: Tuple[K] | undefined };

/** Returns what of the tuple is there. */
function writeTuple(w: NfnetlinkWriter, type: number, family: Family, fields: TupleFields): number {
  const { src, dst, protocol, srcPort, dstPort, icmp } = fields;
  let flags = 0;
  const put = <T>(flag: number, value: T | undefined, write: (value: T) => void) => {
    if (value === undefined) return;
    flags |= flag;
    write(value);
  };
  const tuple = w.open(type);
  const ip = w.open(TUPLE.IP);
  put(LOOK_AT.SRC, src, (each) => w.raw(ADDRESS[family].SRC, ipBytes(each)));
  put(LOOK_AT.DST, dst, (each) => w.raw(ADDRESS[family].DST, ipBytes(each)));
  w.close(ip);
  const proto = w.open(TUPLE.PROTO);
  put(LOOK_AT.PROTOCOL, protocol, (each) => w.u8(PROTO.NUMBER, each));
  put(LOOK_AT.SRC_PORT, srcPort, (each) => w.u16(PROTO.SRC_PORT, each));
  put(LOOK_AT.DST_PORT, dstPort, (each) => w.u16(PROTO.DST_PORT, each));
  const icmpId = protocol === undefined ? undefined : ICMP_ID[protocol];
  if (icmpId && icmp) {
    w.u16(icmpId, icmp[0]);
    w.u8(icmpId + 1, icmp[1]);
    w.u8(icmpId + 2, icmp[2]);
  }
  w.close(proto);
  w.close(tuple);
  return flags;
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
  return (statusOf(body) & IPS_SEEN_REPLY) !== 0;
}

/** Whether its end is set by encodeEnd(). */
export function isEnding(body: Uint8Array): boolean {
  return (statusOf(body) & IPS_FIXED_TIMEOUT) !== 0;
}

/** `enum ip_conntrack_status` (linux/netfilter/nf_conntrack_common.h) */
function statusOf(body: Uint8Array): number {
  return new Attributes(body.subarray(NFGENMSG_LENGTH)).u32(CTA.STATUS) ?? 0;
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
  const family = familyOf(original.src);
  const w = new NfnetlinkWriter(0, 128);
  w.begin(CONNTRACK_DELETE, NLM_F.REQUEST, NFPROTO[family]);
  writeTuple(w, CTA.TUPLE_ORIGINAL, family, original);
  w.u32(CTA.ID, id);
  return { type: CONNTRACK_DELETE, flags: 0, body: w.bytes.slice(HEADER_LENGTH) };
}

/**
 * A request by which the entry that was told so ends in so many seconds, whatever packets come: nft tells it by `ct status & 1024`.
 * Refused with EPERM where that is so already.
 */
export function encodeEnd(told: Uint8Array, seconds: number): NetlinkRequest {
  const { original } = decodeEntry(told);
  const family = familyOf(original.src);
  const w = new NfnetlinkWriter(0, 128);
  w.begin(CONNTRACK_NEW, NLM_F.REQUEST, NFPROTO[family]);
  writeTuple(w, CTA.TUPLE_ORIGINAL, family, original);
  w.u32(CTA.TIMEOUT, seconds);
  w.u32(CTA.STATUS, statusOf(told) | IPS_FIXED_TIMEOUT);
  return { type: CONNTRACK_NEW, flags: 0, body: w.bytes.slice(HEADER_LENGTH) };
}
