// Room dns: sockets towards upstream resolvers, in the namespace from which these can be reached.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { readlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import { familyOf, type IP } from '../addr/ip.ts';
import { socketIn } from '../sys/netns.ts';

export interface UpstreamAddress {
  readonly ip: IP;
  readonly port: number;
  /** Absent: the calling thread's own. */
  readonly netns?: string;
}

/** Calls back at once: addresses need no resolver, and getaddrinfo would run on a thread in another namespace. */
export function noLookup(
  address: string,
  _options: unknown,
  done: (error: null, address: string, family: number) => void,
): void {
  done(null, address, familyOf(address));
}

/** Not connected yet; its port will be the kernel's random choice. The caller closes it. */
export function udpSocket(upstream: UpstreamAddress): UdpSocket {
  const v6 = familyOf(upstream.ip) === 6;
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: noLookup });
  if (upstream.netns !== undefined) {
    socket.bind({ fd: socketIn(upstream.netns, v6 ? 'inet6' : 'inet', 'dgram'), exclusive: true });
  }
  return socket;
}

/** Connecting. The caller destroys it. */
export function tcpSocket(upstream: UpstreamAddress): Socket {
  const domain = familyOf(upstream.ip) === 6 ? 'inet6' : 'inet';
  const socket =
    upstream.netns === undefined
      ? new Socket()
      : new Socket({ fd: socketIn(upstream.netns, domain, 'stream'), manualStart: true } as { fd: number });
  return socket.connect({ host: upstream.ip, port: upstream.port });
}

/** The path, or undefined when the calling thread is in that namespace already and need not go there. */
export function unlessOwn(netns: string): string | undefined {
  return readlinkSync('/proc/thread-self/ns/net') === readlinkNs(netns) ? undefined : netns;
}

/** `/proc/…/ns/net` is a link that names the namespace; a pinned file is none. */
function readlinkNs(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return path;
  }
}
