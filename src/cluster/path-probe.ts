// Room cluster: how much a path carries, asked with real packets: both ends are namespaces of ours, so what arrives is seen.

import { createSocket, type Socket } from 'node:dgram';
import { closeSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { familyOf, type IP } from '../addr/ip.ts';
import { largestBelow } from '../node/path-search.ts';
import { type Discovery, openWholeDatagrams, sendDatagram, setDiscovery } from '../sys/datagram.ts';
import { SO, SOL, setSocketOption } from '../sys/socket.ts';

/** One end of a path. */
export interface PathEnd {
  /** As it is called in what is told of the path. */
  readonly name: string;
  readonly netns: string;
  readonly ip: IP;
}

interface OpenEnd {
  readonly fd: number;
  readonly socket: Socket;
  readonly port: number;
}

/** What is sent again and for how long each time it may be on the way. */
const WAITS_MS = [150, 300, 1000];
/** Room for all that is tried at once. */
const RECEIVE_BYTES = 4 << 20;

export class PathProbe implements AsyncDisposable {
  readonly #ends = new Map<string, Promise<OpenEnd>>();
  readonly #awaited = new Map<number, () => void>();
  #last = 0;

  #open({ netns, ip }: PathEnd): Promise<OpenEnd> {
    const key = `${netns} ${ip}`;
    const found = this.#ends.get(key) ?? this.#listen(netns, ip);
    this.#ends.set(key, found);
    return found;
  }

  #listen(netns: string, ip: IP): Promise<OpenEnd> {
    const fd = openWholeDatagrams(netns, ip, 'try');
    setSocketOption(fd, SOL.SOCKET, SO.RCVBUFFORCE, RECEIVE_BYTES);
    const socket = createSocket(familyOf(ip) === 6 ? 'udp6' : 'udp4');
    socket.on('message', (bytes) => {
      if (bytes.length >= 4) this.#awaited.get(bytes.readUInt32LE(0))?.();
    });
    return new Promise((resolve, reject) => {
      socket.once('error', (error) => {
        closeSync(fd);
        reject(error);
      });
      socket.bind({ fd }, () => resolve({ fd, socket, port: socket.address().port }));
    });
  }

  /** Which of these sizes of whole IP packets arrive. What is lost is sent again before it counts as such. */
  async arriving(from: PathEnd, to: PathEnd, sizes: readonly number[]): Promise<number[]> {
    const [source, target] = [await this.#open(from), await this.#open(to)];
    const arrived = new Set<number>();
    for (const wait of WAITS_MS) {
      const open = sizes.filter((size) => !arrived.has(size));
      if (open.length === 0) break;
      const { promise, resolve } = Promise.withResolvers<void>();
      const ids = open.map((size) => {
        const id = ++this.#last;
        this.#awaited.set(id, () => {
          arrived.add(size);
          if (arrived.size === sizes.length) resolve();
        });
        sendDatagram(source.fd, packet(to.ip, size, id), to.ip, target.port);
        return id;
      });
      const limit = setTimeout(resolve, wait);
      await promise;
      clearTimeout(limit);
      // After a pause of our own the timer comes before what has arrived long since.
      await setImmediate();
      for (const id of ids) this.#awaited.delete(id);
    }
    return sizes.filter((size) => arrived.has(size));
  }

  async passes(from: PathEnd, to: PathEnd, size: number): Promise<boolean> {
    return (await this.arriving(from, to, [size])).length > 0;
  }

  /** The largest packet below `size`, which does not arrive, that does; 0 when none does. */
  largest(from: PathEnd, to: PathEnd, size: number): Promise<number> {
    return largestBelow(size, (sizes) => this.arriving(from, to, sizes));
  }

  /** Whether somebody on the path tells the sender that a packet of this size is too large: then its kernel refuses the next. */
  async isTold(from: PathEnd, to: PathEnd, size: number): Promise<boolean> {
    const [source, target] = [await this.#open(from), await this.#open(to)];
    const send = () => sendDatagram(source.fd, packet(to.ip, size, 0), to.ip, target.port);
    const discover = (discovery: Discovery) => setDiscovery(source.fd, from.ip, discovery);
    discover('believe');
    try {
      for (const wait of WAITS_MS) {
        if (send() === 'EMSGSIZE') return true;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
      return send() === 'EMSGSIZE';
    } finally {
      discover('try');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of await Promise.allSettled(this.#ends.values())) {
      if (end.status === 'fulfilled') end.value.socket.close();
    }
  }
}

/** UDP payload that makes an IP packet of `size` bytes. */
function packet(to: IP, size: number, id: number): Uint8Array {
  const bytes = Buffer.alloc(size - (familyOf(to) === 6 ? 40 : 20) - 8);
  bytes.writeUInt32LE(id);
  return bytes;
}
