// Room sys: plain sockets as fds, for what Node cannot open itself: in another namespace, bound before adoption, netlink.
import { closeSync } from 'node:fs';
import { familyOf, ipBytes } from '../addr/ip.ts';
import { check, libc } from './ffi.ts';

const DOMAINS = { unix: 1, inet: 2, inet6: 10, netlink: 16, packet: 17 } as const;
const TYPES = { stream: 1, dgram: 2, raw: 3 } as const;
export type SocketDomain = keyof typeof DOMAINS;
export type SocketType = keyof typeof TYPES;

const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
export const SOL = { SOCKET: 1, IP: 0, TCP: 6, UDP: 17, IPV6: 41, NETLINK: 270 } as const;
export const SO = {
  REUSEADDR: 2,
  SNDBUF: 7,
  RCVBUF: 8,
  REUSEPORT: 15,
  RCVTIMEO: 20,
  SNDBUFFORCE: 32,
  RCVBUFFORCE: 33,
} as const;
const IP_FREEBIND = 15;
const IPV6_V6ONLY = 26;
const IPV6_FREEBIND = 78;

const cSocket = libc.func('int socket(int domain, int type, int protocol)');
const cBind = libc.func('int bind(int fd, const uint8_t *address, uint32_t length)');
const cGetsockname = libc.func('int getsockname(int fd, uint8_t *address, uint32_t *length)');
const cListen = libc.func('int listen(int fd, int backlog)');
const cSetsockopt = libc.func('int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)');

/** Close-on-exec, and non-blocking unless asked otherwise. The caller owns the fd. */
export function openSocket(domain: SocketDomain, type: SocketType, protocol = 0, blocking = false): number {
  const flags = TYPES[type] | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK);
  return check(cSocket(DOMAINS[domain], flags, protocol), 'socket', `${domain} ${type}`);
}

export function setSocketOption(fd: number, level: number, name: number, value: number | Uint8Array): void {
  const bytes = typeof value === 'number' ? new Uint8Array(Int32Array.of(value).buffer) : value;
  check(cSetsockopt(fd, level, name, bytes, bytes.length), 'setsockopt', `level ${level} option ${name}`);
}

export interface BindOptions {
  /** Share the port with other sockets that say so too; the kernel spreads flows over them. */
  readonly reusePort?: boolean;
  /** Bind though the address is not (yet) there: IP_FREEBIND. */
  readonly freeBind?: boolean;
}

/** Binds to an address and port; an IPv6 socket is for IPv6 alone. Throws a SysError (EADDRINUSE, EADDRNOTAVAIL). */
export function bindSocket(fd: number, ip: string, port: number, options: BindOptions = {}): void {
  const v6 = familyOf(ip) === 6;
  if (v6) setSocketOption(fd, SOL.IPV6, IPV6_V6ONLY, 1);
  if (options.reusePort) setSocketOption(fd, SOL.SOCKET, SO.REUSEPORT, 1);
  if (options.freeBind) setSocketOption(fd, v6 ? SOL.IPV6 : SOL.IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, 1);
  const address = socketAddress(ip, port);
  check(cBind(fd, address, address.length), 'bind', `${ip} port ${port}`);
}

/** struct sockaddr_in or sockaddr_in6. */
export function socketAddress(ip: string, port: number): Uint8Array {
  const bytes = ipBytes(ip);
  const v6 = bytes.length === 16;
  const address = new Uint8Array(v6 ? 28 : 16);
  const view = new DataView(address.buffer);
  view.setUint16(0, v6 ? DOMAINS.inet6 : DOMAINS.inet, true);
  view.setUint16(2, port);
  address.set(bytes, v6 ? 8 : 4);
  return address;
}

/** A bound and listening TCP socket for `server.listen({fd})`. On failure nothing stays open. */
export function listenOn(fd: number, ip: string, port: number, options: BindOptions = {}): number {
  try {
    setSocketOption(fd, SOL.SOCKET, SO.REUSEADDR, 1);
    bindSocket(fd, ip, port, options);
    check(cListen(fd, 511), 'listen', `${ip} port ${port}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The port to which an IP socket is bound. */
export function socketPort(fd: number): number {
  const address = new Uint8Array(28);
  check(cGetsockname(fd, address, Uint32Array.of(address.length)), 'getsockname');
  return (address[2]! << 8) | address[3]!;
}

/** bind(2) with a ready-made sockaddr: netlink and the like. */
export function bindRaw(fd: number, address: Uint8Array): void {
  check(cBind(fd, address, address.length), 'bind');
}
