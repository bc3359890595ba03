// Room cluster: somebody who answers where a pod has nobody: for as long as a test of policies runs, in the pod's own namespace.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { closeSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { familyOf, type IP } from '../../addr/ip.ts';
import { SysError } from '../../sys/ffi.ts';
import { openPacketSocket } from '../../sys/link-socket.ts';
import { inNetns, socketIn } from '../../sys/netns.ts';
import { bindSocket, listenOn } from '../../sys/socket.ts';

export interface ListeningPlace {
  readonly netns: string;
  readonly ip: IP;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
}

/** `ours`: nobody was there, we answer. `theirs`: the pod's own program does, or does not. */
export type Listening = 'ours' | 'theirs';

const ETHERTYPES = { 4: 0x0800, 6: 0x86dd } as const;

export class Listeners implements Disposable {
  readonly #open = new Map<string, Promise<Listening>>();
  readonly #ears = new Map<string, { readonly waiting: Map<string, () => void>; close(): void }>();
  readonly #closers: (() => void)[] = [];

  listen(place: ListeningPlace): Promise<Listening> {
    const { netns, ip, port, protocol } = place;
    const key = `${netns} ${ip} ${port} ${protocol}`;
    const found = this.#open.get(key) ?? (protocol === 'TCP' ? this.#tcp(place) : this.#udp(place));
    this.#open.set(key, found);
    return found;
  }

  #tcp({ netns, ip, port }: ListeningPlace): Promise<Listening> {
    const fd = unlessInUse(() => listenOn(socketIn(netns, domainOf(ip), 'stream'), ip, port));
    if (fd === undefined) return Promise.resolve('theirs');
    const server: Server = createServer((socket) => socket.on('error', () => {}).end());
    this.#closers.push(() => server.close());
    return new Promise((resolve, reject) => {
      server.once('error', reject).listen({ fd }, () => resolve('ours'));
    });
  }

  #udp({ netns, ip, port }: ListeningPlace): Promise<Listening> {
    const fd = unlessInUse(() => bound(socketIn(netns, domainOf(ip), 'dgram'), ip, port));
    if (fd === undefined) return Promise.resolve('theirs');
    const socket: UdpSocket = createSocket(familyOf(ip) === 6 ? 'udp6' : 'udp4');
    this.#closers.push(() => socket.close());
    socket.on('message', (data, { port: to, address }) => socket.send(data, to, address, () => {}));
    return new Promise((resolve, reject) => {
      socket.once('error', reject).bind({ fd, exclusive: true }, () => resolve('ours'));
    });
  }

  /** Calls back once when a packet with these words comes into the namespace: what a program that does not answer has got. */
  hear({ netns, ip }: Pick<ListeningPlace, 'netns' | 'ip'>, words: string, onHeard: () => void): () => void {
    const key = `${netns} ${familyOf(ip)}`;
    const ear = this.#ears.get(key) ?? openEar(netns, familyOf(ip));
    this.#ears.set(key, ear);
    ear.waiting.set(words, onHeard);
    return () => ear.waiting.delete(words);
  }

  [Symbol.dispose](): void {
    for (const close of this.#closers) close();
    for (const { close } of this.#ears.values()) close();
  }
}

function domainOf(ip: IP): 'inet' | 'inet6' {
  return familyOf(ip) === 6 ? 'inet6' : 'inet';
}

function bound(fd: number, ip: IP, port: number): number {
  try {
    bindSocket(fd, ip, port);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Undefined: somebody has the port. */
function unlessInUse(open: () => number): number | undefined {
  try {
    return open();
  } catch (error) {
    if (error instanceof SysError && error.code === 'EADDRINUSE') return undefined;
    throw error;
  }
}

function openEar(netns: string, family: 4 | 6) {
  const waiting = new Map<string, () => void>();
  const EVERY_LINK = 0;
  const socket = inNetns(netns, () =>
    openPacketSocket(ETHERTYPES[family], EVERY_LINK, (payload) => {
      if (waiting.size === 0) return;
      const text = Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('latin1');
      for (const [words, onHeard] of waiting) if (text.includes(words)) onHeard();
    }),
  );
  return { waiting, close: () => socket.close() };
}
