// Room wire: rtnetlink neighbours: ARP and NDP entries, and the forwarding entries of VXLAN devices (linux/neighbour.h).
import { type Family, formatIP, type IP, ipBytes } from '../../addr/ip.ts';
import { formatMAC, type MAC, macBytes } from '../../addr/mac.ts';
import { Attributes, AttributeWriter } from './attributes.ts';
import { type NetlinkMessage, type NetlinkRequest, NLM_F } from './message.ts';
import { AF_BRIDGE, afOf, afOfFamily, RTM, structOf } from './rtnetlink.ts';

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;
const NDA_PROTOCOL = 12;
const NTF_SELF = 2;
const NTF_PROXY = 8;
const NDMSG_LENGTH = 12;

function ndmsg(af: number, index: number, flags: number): Uint8Array {
  const header = new Uint8Array(NDMSG_LENGTH);
  const view = new DataView(header.buffer);
  view.setUint8(0, af);
  view.setInt32(4, index, true);
  view.setUint16(8, index === 0 ? 0 : NUD_PERMANENT, true);
  view.setUint8(10, flags);
  return header;
}

/** A permanent entry, put in the place of whatever the link knew of the address. `protocol` says whose it is (NDA_PROTOCOL, Linux 5.2). */
export function newNeighbour(index: number, ip: IP, mac: MAC, protocol?: number): NetlinkRequest {
  const writer = new AttributeWriter().struct(ndmsg(afOf(ip), index, 0));
  writer.bytes(NDA_DST, ipBytes(ip)).bytes(NDA_LLADDR, macBytes(mac));
  if (protocol !== undefined) writer.u8(NDA_PROTOCOL, protocol);
  return { type: RTM.NEWNEIGH, flags: NLM_F.CREATE | NLM_F.REPLACE, body: writer.finish() };
}

/** ENOENT when it is not there. */
export function deleteNeighbour(index: number, ip: IP): NetlinkRequest {
  const writer = new AttributeWriter().struct(ndmsg(afOf(ip), index, 0)).bytes(NDA_DST, ipBytes(ip));
  return { type: RTM.DELNEIGH, flags: 0, body: writer.finish() };
}

/** The link answers for the address though it has not got it. `protocol` says who wants that (NDA_PROTOCOL, Linux 5.2). */
export function newProxy(index: number, ip: IP, protocol: number): NetlinkRequest {
  const writer = new AttributeWriter().struct(ndmsg(afOf(ip), index, NTF_PROXY)).bytes(NDA_DST, ipBytes(ip));
  writer.u8(NDA_PROTOCOL, protocol);
  return { type: RTM.NEWNEIGH, flags: NLM_F.CREATE | NLM_F.REPLACE, body: writer.finish() };
}

/** ENOENT when it is not there. */
export function deleteProxy(index: number, ip: IP): NetlinkRequest {
  const writer = new AttributeWriter().struct(ndmsg(afOf(ip), index, NTF_PROXY)).bytes(NDA_DST, ipBytes(ip));
  return { type: RTM.DELNEIGH, flags: 0, body: writer.finish() };
}

/** A dump of addresses for which links answer. */
export function getProxies(family: Family): NetlinkRequest {
  return { type: RTM.GETNEIGH, flags: 0, body: ndmsg(afOfFamily(family), 0, NTF_PROXY) };
}

/** Frames for `mac` go to the VXLAN end at `dst`. */
export function newFdbEntry(index: number, mac: MAC, dst: IP): NetlinkRequest {
  const writer = new AttributeWriter().struct(ndmsg(AF_BRIDGE, index, NTF_SELF));
  writer.bytes(NDA_DST, ipBytes(dst)).bytes(NDA_LLADDR, macBytes(mac));
  return { type: RTM.NEWNEIGH, flags: NLM_F.CREATE | NLM_F.REPLACE, body: writer.finish() };
}

/** ENOENT when it is not there. */
export function deleteFdbEntry(index: number, mac: MAC): NetlinkRequest {
  const writer = new AttributeWriter().struct(ndmsg(AF_BRIDGE, index, NTF_SELF)).bytes(NDA_LLADDR, macBytes(mac));
  return { type: RTM.DELNEIGH, flags: 0, body: writer.finish() };
}

/** A dump: neighbours of one family, or with 'bridge' the forwarding entries of bridges and VXLAN devices. */
export function getNeighbours(family: Family | 'bridge'): NetlinkRequest {
  return { type: RTM.GETNEIGH, flags: 0, body: ndmsg(family === 'bridge' ? AF_BRIDGE : afOfFamily(family), 0, 0) };
}

export interface NeighbourState {
  readonly index: number;
  readonly permanent: boolean;
  /** Of a VXLAN device, not of IP. */
  readonly fdb: boolean;
  /** The neighbour's address; of a forwarding entry the node to which it leads. */
  readonly ip: IP | undefined;
  readonly mac: MAC | undefined;
  /** Absent: nobody said. */
  readonly protocol?: number;
}

/** Throws a NetlinkFormatError when the message is malformed. */
export function decodeNeighbour(message: NetlinkMessage): NeighbourState {
  const header = structOf(message, NDMSG_LENGTH);
  const attributes = new Attributes(message.body, NDMSG_LENGTH);
  const ip = attributes.bytes(NDA_DST);
  const mac = attributes.bytes(NDA_LLADDR);
  const protocol = attributes.u8(NDA_PROTOCOL);
  attributes.check();
  return {
    index: header.getInt32(4, true),
    permanent: (header.getUint16(8, true) & NUD_PERMANENT) !== 0,
    fdb: header.getUint8(0) === AF_BRIDGE,
    ip: ip?.length === 4 || ip?.length === 16 ? formatIP(ip) : undefined,
    mac: mac?.length === 6 ? formatMAC(mac) : undefined,
    ...(protocol && { protocol }),
  };
}
