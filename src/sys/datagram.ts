// Room sys: UDP sockets whose packets nobody may cut in pieces, for asking a path how much it carries (ip(7), ipv6(7)).
import { closeSync } from 'node:fs';
import { familyOf, type IP } from '../addr/ip.ts';
import { errnoName, lastErrno, libc, retryInterrupted } from './ffi.ts';
import { socketIn } from './netns.ts';
import { bindSocket, SOL, setSocketOption, socketAddress } from './socket.ts';

const IP_MTU_DISCOVER = 10;
const IPV6_MTU_DISCOVER = 23;
const IPV6_DONTFRAG = 62;
/**
 * `believe`: what routers have told of the path is kept to, and more is refused (EMSGSIZE). `try`: only the link's own MTU
 * counts. In IPv4 both set DF.
 */
export type Discovery = 'believe' | 'try';
const DISCOVERY: Readonly<Record<Discovery, number>> = { believe: 2, try: 3 };

const cSendto = libc.func(
  'int64_t sendto(int fd, const uint8_t *data, size_t length, int flags, const uint8_t *address, uint32_t addressLength)',
);

/** Bound to the address and a port of the kernel's choice, non-blocking; the caller owns the fd. */
export function openWholeDatagrams(netns: string | undefined, ip: IP, discovery: Discovery): number {
  const v6 = familyOf(ip) === 6;
  const fd = socketIn(netns, v6 ? 'inet6' : 'inet', 'dgram');
  try {
    if (v6) setSocketOption(fd, SOL.IPV6, IPV6_DONTFRAG, 1);
    bindSocket(fd, ip, 0);
    setDiscovery(fd, ip, discovery);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** `own`: the address to which the socket is bound. For what is sent from now on. */
export function setDiscovery(fd: number, own: IP, discovery: Discovery): void {
  const [level, option] = familyOf(own) === 6 ? [SOL.IPV6, IPV6_MTU_DISCOVER] : [SOL.IP, IP_MTU_DISCOVER];
  setSocketOption(fd, level, option, DISCOVERY[discovery]);
}

/** Sends at once. Undefined when the kernel took it, else errno's name: EMSGSIZE, ENETUNREACH, … */
export function sendDatagram(fd: number, bytes: Uint8Array, ip: IP, port: number): string | undefined {
  const address = socketAddress(ip, port);
  const sent = retryInterrupted(() => Number(cSendto(fd, bytes, bytes.length, 0, address, address.length)));
  return sent === -1 ? errnoName(lastErrno()) : undefined;
}
