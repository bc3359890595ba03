// Room wire: sock_diag's messages of connected sockets (linux/inet_diag.h): which there are, and the end of one.
import { type Family, formatIP, type IP } from '../../addr/ip.ts';
import type { NetlinkMessage, NetlinkRequest } from './message.ts';
import { afOfFamily, structOf } from './rtnetlink.ts';

const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const IPPROTO_UDP = 17;
const TCP_ESTABLISHED = 1;
/** Of struct inet_diag_req_v2 and inet_diag_msg: where struct inet_diag_sockid lies, and the length of each. */
const REQUEST = { id: 8, length: 56 };
const MESSAGE = { id: 4, length: 72 };
const ID = { sourcePort: 0, port: 2, ip: 20, cookie: 40, length: 48 } as const;

export interface ConnectedSocket {
  readonly family: Family;
  /** Whom it is connected to; of an IPv6 socket that speaks IPv4 an IPv4 address. */
  readonly ip: IP;
  readonly port: number;
  /** What eBPF knows it by (bpf_get_socket_cookie), 8 bytes as the kernel has them. */
  readonly cookie: Uint8Array;
  /** What the kernel calls it. */
  readonly id: Uint8Array;
}

function request(type: number, family: Family, states: number, id?: Uint8Array): NetlinkRequest {
  const body = new Uint8Array(REQUEST.length);
  body.set([afOfFamily(family), IPPROTO_UDP]);
  new DataView(body.buffer).setUint32(4, states, true);
  if (id) body.set(id, REQUEST.id);
  return { type, flags: 0, body };
}

/** For a dump. */
export function connectedUdpSockets(family: Family): NetlinkRequest {
  return request(SOCK_DIAG_BY_FAMILY, family, 1 << TCP_ESTABLISHED);
}

/** Its owner is told ECONNABORTED. ENOENT when it is gone; EOPNOTSUPP from a kernel without CONFIG_INET_DIAG_DESTROY. */
export function destroyUdpSocket({ family, id }: ConnectedSocket): NetlinkRequest {
  return request(SOCK_DESTROY, family, 0, id);
}

export function decodeConnectedSocket(message: NetlinkMessage): ConnectedSocket {
  const view = structOf(message, MESSAGE.length);
  const family: Family = view.getUint8(0) === afOfFamily(4) ? 4 : 6;
  const id = message.body.slice(MESSAGE.id, MESSAGE.id + ID.length);
  const bytes = id.subarray(ID.ip, ID.ip + (family === 4 ? 4 : 16));
  return {
    family,
    ip: formatIP(unmapped(bytes)),
    port: new DataView(id.buffer).getUint16(ID.port),
    cookie: id.slice(ID.cookie, ID.cookie + 8),
    id,
  };
}

function unmapped(bytes: Uint8Array): Uint8Array {
  const isMapped =
    bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10]! + bytes[11]! === 0x1fe;
  return isMapped ? bytes.subarray(12) : bytes;
}
