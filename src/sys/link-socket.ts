// Room sys: sockets that speak ARP (packet(7)) and ICMPv6 (raw(7)) on one link of the calling thread's namespace.
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { type IP, ipBytes } from '../addr/ip.ts';
import { type MAC, macBytes } from '../addr/mac.ts';
import { closeOwned, own } from './descriptors.ts';
import { lastErrno, libc, retryInterrupted, SysError } from './ffi.ts';
import { pollReadable } from './poll.ts';
import { bindRaw, openSocket, SOL, setSocketOption, socketAddress } from './socket.ts';

const AF_PACKET = 17;
const IPPROTO_ICMPV6 = 58;
const ICMP6_FILTER = 1;
const IPV6_MULTICAST_IF = 17;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const MSG_DONTWAIT = 0x40;
const FRAME_BYTES = 2048;
/** Frames read in one turn of the event loop. */
const TURN = 64;

const cSendto = libc.func(
  'int64_t sendto(int fd, const uint8_t *data, size_t length, int flags, const uint8_t *address, uint32_t addressLength)',
);
const cRecv = libc.func('int64_t recv(int fd, uint8_t *data, size_t length, int flags)');

export interface LinkSocket<To> {
  /** Whether the kernel took it: not while the link is down or its queue full. */
  send(payload: Uint8Array, to: To): boolean;
  close(): void;
}

/** Frames of one EtherType, without their Ethernet header. `onFrame`'s bytes are good for the call alone. */
export function openPacketSocket(
  ethertype: number,
  linkIndex: number,
  onFrame: (payload: Uint8Array) => void,
): LinkSocket<MAC> {
  // Protocol 0 hears nothing until it is bound: else frames of other links would come in between.
  const fd = openSocket('packet', 'dgram', 0);
  const address = (mac?: MAC): Uint8Array => {
    const bytes = new Uint8Array(20);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, ethertype);
    view.setInt32(4, linkIndex, true);
    if (mac === undefined) return bytes;
    bytes[11] = 6;
    bytes.set(macBytes(mac), 12);
    return bytes;
  };
  return open(
    fd,
    () => bindRaw(fd, address()),
    onFrame,
    (payload, mac) => sendTo(fd, payload, address(mac)),
  );
}

/** ICMPv6 of one type, from the ICMPv6 header on. What is sent has hop limit 255, as NDP asks for. */
export function openIcmp6Socket(
  type: number,
  linkIndex: number,
  onMessage: (message: Uint8Array) => void,
): LinkSocket<IP> {
  const fd = openSocket('inet6', 'raw', IPPROTO_ICMPV6);
  const setUp = () => {
    // A set bit keeps the type out.
    const filter = new Uint32Array(8).fill(0xffffffff);
    filter[type >> 5]! &= ~(1 << (type & 31));
    setSocketOption(fd, IPPROTO_ICMPV6, ICMP6_FILTER, new Uint8Array(filter.buffer));
    for (const option of [IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS]) setSocketOption(fd, SOL.IPV6, option, 255);
    setSocketOption(fd, SOL.IPV6, IPV6_MULTICAST_IF, linkIndex);
    setSocketOption(fd, SOL.IPV6, IPV6_MULTICAST_LOOP, 0);
  };
  const address = (ip: IP): Uint8Array => {
    const bytes = socketAddress(ip, 0);
    // Its scope: addresses of a link say of which.
    if (ipBytes(ip)[0]! >= 0xfe) new DataView(bytes.buffer).setUint32(24, linkIndex, true);
    return bytes;
  };
  return open(fd, setUp, onMessage, (payload, ip) => sendTo(fd, payload, address(ip)));
}

function open<To>(
  fd: number,
  setUp: () => void,
  onData: (bytes: Uint8Array) => void,
  send: (payload: Uint8Array, to: To) => boolean,
): LinkSocket<To> {
  try {
    setUp();
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const buffer = Buffer.allocUnsafeSlow(FRAME_BYTES);
  const handle = pollReadable(fd, () => {
    for (let i = 0; i < TURN && reading.has(handle); i++) {
      const length = retryInterrupted(() => Number(cRecv(fd, buffer, buffer.length, MSG_DONTWAIT)));
      // Nothing more, or the link went down: both come to an end by themselves.
      if (length < 0) return;
      onData(buffer.subarray(0, length));
    }
  });
  reading.add(handle);
  own(fd);
  return {
    send,
    close() {
      if (!reading.delete(handle)) return;
      handle.close();
      closeOwned(fd);
    },
  };
}

const PASSING = new Set([
  constants.errno.ENETDOWN,
  constants.errno.ENETUNREACH,
  constants.errno.EHOSTUNREACH,
  constants.errno.ENOBUFS,
  constants.errno.EAGAIN,
  constants.errno.ENXIO,
  constants.errno.ENODEV,
  constants.errno.EADDRNOTAVAIL,
  constants.errno.EPERM,
]);

function sendTo(fd: number, payload: Uint8Array, address: Uint8Array): boolean {
  const sent = retryInterrupted(() => Number(cSendto(fd, payload, payload.length, 0, address, address.length)));
  if (sent !== -1) return true;
  const errno = lastErrno();
  if (PASSING.has(errno)) return false;
  throw new SysError('sendto', errno);
}

/** koffi closes a poll handle silently when it is collected. */
const reading = new Set<object>();
