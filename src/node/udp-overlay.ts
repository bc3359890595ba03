// Room node: the `udp` overlay's packets: from the TUN device to the far node in UDP and back, in JavaScript.
import { createSocket, type Socket } from 'node:dgram';
import { familyOf, formatIP, type IP } from '../addr/ip.ts';
import { type CIDR, parsePrefix, prefixContains } from '../addr/prefix.ts';
import { logger } from '../observe/log.ts';
import type { RemoteNode } from '../plan/overlay/backend.ts';
import { UDP_LINK } from '../plan/overlay/udp.ts';
import { socketIn } from '../sys/netns.ts';
import { bindSocket, SO, SOL, setSocketOption } from '../sys/socket.ts';
import { openTun, type Tun } from '../sys/tun.ts';

const log = logger('network');
const REOPEN_MS = 100;
/** What may wait while the node does something else. */
const RECEIVE_BYTES = 4 << 20;

export interface UdpOverlayOptions {
  /** The node's own address, of the fabric's family. */
  readonly local: IP;
  readonly port: number;
  readonly netns?: string;
}

interface Peer {
  readonly ip: IP;
  readonly podCIDRs: readonly CIDR[];
}

/** Runs from its making until close(): as long as the node's agent lives, and no longer. */
export class UdpOverlay {
  readonly #options: UdpOverlayOptions;
  readonly #socket: Socket;
  #tun: Tun | undefined;
  #closed = false;
  readonly #peers = new Map<string, Peer>();
  /** Where packets for an address go, as found the first time. */
  readonly #found = new Map<string, IP | undefined>();

  constructor(options: UdpOverlayOptions) {
    this.#options = options;
    const { local, port, netns } = options;
    const v6 = familyOf(local) === 6;
    const fd = netns === undefined ? undefined : socketIn(netns, v6 ? 'inet6' : 'inet', 'dgram');
    this.#socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: (ip, _, done) => done(null, ip, v6 ? 6 : 4) });
    this.#socket.on('message', (packet, from) => this.#receive(packet, from.address));
    this.#socket.on('error', (error) => log.error({ err: error }, 'the udp overlay'));
    if (fd === undefined) this.#socket.bind(port, local);
    else {
      setSocketOption(fd, SOL.SOCKET, SO.RCVBUFFORCE, RECEIVE_BYTES);
      bindSocket(fd, local, port);
      this.#socket.bind({ fd });
    }
    this.#socket.unref();
    this.#open();
  }

  /** A device that somebody removed is made again: by us, and the plan sees to its MTU and routes. */
  #open(): void {
    if (this.#closed) return;
    const reader = { onPacket: (packet: Buffer) => this.#send(packet), onLost: () => this.#openLater() };
    try {
      this.#tun = openTun(UDP_LINK, reader, this.#options.netns);
    } catch (error) {
      log.warn({ err: error }, 'the udp overlay has no device; trying again');
      this.#openLater();
    }
  }

  #openLater(): void {
    this.#tun = undefined;
    setTimeout(() => this.#open(), REOPEN_MS).unref();
  }

  /** Undefined: the node is gone. */
  set(name: string, remote: RemoteNode | undefined): void {
    const ip = remote?.ips.find((each) => familyOf(each) === familyOf(this.#options.local));
    if (remote && ip !== undefined) this.#peers.set(name, { ip, podCIDRs: remote.podCIDRs });
    else this.#peers.delete(name);
    this.#found.clear();
  }

  #send(packet: Buffer): void {
    const to = this.#nodeOf(addressIn(packet, 'destination'));
    // The socket sends when it can: by then the buffer holds another packet.
    if (to !== undefined) this.#socket.send(Buffer.from(packet), this.#options.port, to, () => {});
  }

  /** A node may speak in its own name and in that of its own pods. */
  #receive(packet: Buffer, from: IP): void {
    const source = addressIn(packet, 'source');
    if (source === undefined) return;
    if (this.#nodeOf(source) === from || [...this.#peers.values()].some(({ ip }) => ip === from && ip === source))
      this.#tun?.write(packet);
  }

  #nodeOf(address: IP | undefined): IP | undefined {
    if (address === undefined) return undefined;
    if (this.#found.has(address)) return this.#found.get(address);
    const peer = [...this.#peers.values()].find(({ podCIDRs }) => podCIDRs.some((cidr) => contains(cidr, address)));
    if (this.#found.size > 10_000) this.#found.clear();
    this.#found.set(address, peer?.ip);
    return peer?.ip;
  }

  close(): void {
    this.#closed = true;
    this.#tun?.close();
    this.#socket.close();
  }
}

function contains(cidr: CIDR, ip: IP): boolean {
  return parsePrefix(cidr).family === familyOf(ip) && prefixContains(cidr, ip);
}

/** Of an IPv4 or IPv6 packet; undefined when it is neither. */
export function addressIn(packet: Buffer, end: 'source' | 'destination'): IP | undefined {
  const version = packet.length > 0 ? packet[0]! >> 4 : 0;
  if (version === 4 && packet.length >= 20) return formatIP(packet.subarray(end === 'source' ? 12 : 16).subarray(0, 4));
  if (version === 6 && packet.length >= 40) return formatIP(packet.subarray(end === 'source' ? 8 : 24).subarray(0, 16));
  return undefined;
}
