// Room wire: rtnetlink addresses of links (linux/if_addr.h).
import { type Family, formatIP, ipBytes } from '../../addr/ip.ts';
import type { CIDR } from '../../addr/prefix.ts';
import { Attributes, AttributeWriter } from './attributes.ts';
import { NetlinkFormatError, type NetlinkMessage, type NetlinkRequest, NLM_F } from './message.ts';
import { afOfFamily, RTM, structOf, wirePrefix } from './rtnetlink.ts';

/** IFA_PROTO is of Linux 5.18; older kernels pass over it. */
const IFA = { ADDRESS: 1, LOCAL: 2, FLAGS: 8, PROTO: 11 };
const IFA_F_NODAD = 0x02;
const IFA_F_NOPREFIXROUTE = 0x200;
const IFADDRMSG_LENGTH = 8;
const RT_SCOPE_HOST = 254;

export interface AddressState {
  /** Index of the link. */
  readonly index: number;
  readonly address: CIDR;
  /** The kernel makes no route for the prefix. */
  readonly noPrefixRoute: boolean;
  /** Who put it there, as with routes; 0 when unknown. */
  readonly protocol: number;
  /** Never picked as the source of what leaves the machine: for addresses on lo. */
  readonly hostScope?: boolean;
}

function encode(state: AddressState): AttributeWriter {
  const { af, ip, length } = wirePrefix(state.address);
  const header = new Uint8Array(IFADDRMSG_LENGTH);
  const view = new DataView(header.buffer);
  header.set([af, length, 0, state.hostScope ? RT_SCOPE_HOST : 0]);
  view.setUint32(4, state.index, true);
  const bytes = ipBytes(ip);
  return new AttributeWriter().struct(header).bytes(IFA.LOCAL, bytes).bytes(IFA.ADDRESS, bytes);
}

/** EEXIST when it is there, unless it is to be replaced. IPv6 addresses are usable at once: duplicate detection would hold them for a second. */
export function newAddress(state: AddressState, replace = false): NetlinkRequest {
  const flags = IFA_F_NODAD | (state.noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0);
  const body = encode(state).u32(IFA.FLAGS, flags).u8(IFA.PROTO, state.protocol).finish();
  return { type: RTM.NEWADDR, flags: NLM_F.CREATE | (replace ? NLM_F.REPLACE : NLM_F.EXCL), body };
}

/** EADDRNOTAVAIL when it is not there. */
export function deleteAddress(index: number, address: CIDR): NetlinkRequest {
  const body = encode({ index, address, noPrefixRoute: false, protocol: 0 }).finish();
  return { type: RTM.DELADDR, flags: 0, body };
}

export function getAddresses(family: Family): NetlinkRequest {
  const header = new Uint8Array(IFADDRMSG_LENGTH);
  header[0] = afOfFamily(family);
  return { type: RTM.GETADDR, flags: 0, body: header };
}

/** Throws a NetlinkFormatError when the message is malformed. */
export function decodeAddress(message: NetlinkMessage): AddressState {
  const header = structOf(message, IFADDRMSG_LENGTH);
  const attributes = new Attributes(message.body, IFADDRMSG_LENGTH);
  // IFA_LOCAL is the address itself; on point-to-point links IFA_ADDRESS is the far end's. IPv6 has IFA_ADDRESS alone.
  const bytes = attributes.bytes(IFA.LOCAL) ?? attributes.bytes(IFA.ADDRESS);
  const flags = attributes.u32(IFA.FLAGS) ?? header.getUint8(2);
  const protocol = attributes.u8(IFA.PROTO) ?? 0;
  attributes.check();
  if (bytes?.length !== 4 && bytes?.length !== 16) throw new NetlinkFormatError('rtnetlink address without an address');
  return {
    index: header.getUint32(4, true),
    address: `${formatIP(bytes)}/${header.getUint8(1)}`,
    noPrefixRoute: (flags & IFA_F_NOPREFIXROUTE) !== 0,
    protocol,
    ...(header.getUint8(3) === RT_SCOPE_HOST && { hostScope: true }),
  };
}
