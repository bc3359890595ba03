// A TCP connection between two pods that never rests: counts what it sends and gets back, and keeps the first thing that goes wrong.
import { existsSync } from 'node:fs';
import { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { familyOf } from '../../src/addr/ip.ts';
import { socketIn } from '../../src/sys/netns.ts';
import { type Machine, until } from '../cluster/machine.ts';
import { serveIn } from '../node/cluster-net.ts';
import type { OverlayPod } from './overlay-cluster.ts';

const CHUNK = Buffer.alloc(16 << 10, 'podwire');
const IN_FLIGHT = 64 << 10;

export interface Stream extends AsyncDisposable {
  readonly received: () => number;
  /** Waits for `bytes` more; throws the connection's error. */
  goesOn(bytes: number): Promise<void>;
}

/** `to` echoes; what comes back must be what went out. */
export async function startStream(
  from: Pick<OverlayPod, 'netns'>,
  to: Pick<OverlayPod, 'netns'>,
  ip: string,
): Promise<Stream> {
  const echo = await serveIn(to.netns, ip);
  const fd = socketIn(from.netns, familyOf(ip) === 4 ? 'inet' : 'inet6', 'stream');
  const socket = new Socket({ fd, readable: true, writable: true });
  let sent = 0;
  let received = 0;
  let problem: Error | undefined;
  let greeted = false;
  const send = () => {
    for (; sent - received < IN_FLIGHT; sent += CHUNK.length) socket.write(CHUNK);
  };
  socket.on('error', (error) => {
    problem ??= error;
  });
  socket.on('close', () => {
    problem ??= new Error('the connection was closed');
  });
  socket.on('data', (data) => {
    let bytes = data;
    if (!greeted) {
      const end = bytes.indexOf('\n');
      if (end < 0) return;
      greeted = true;
      bytes = bytes.subarray(end + 1);
    }
    const at = received % CHUNK.length;
    const doubled = Buffer.concat([CHUNK.subarray(at), ...Array(1 + (bytes.length >> 14)).fill(CHUNK)]);
    if (!bytes.equals(doubled.subarray(0, bytes.length))) problem ??= new Error(`other bytes came back at ${received}`);
    received += bytes.length;
    send();
  });
  socket.connect(echo.port, ip, send);
  return {
    received: () => received,
    async goesOn(bytes) {
      const goal = received + bytes;
      await until(
        `the stream to ${ip} gets ${bytes} more bytes`,
        async () => problem !== undefined || received >= goal,
      );
      if (problem) throw problem;
    },
    async [Symbol.asyncDispose]() {
      socket.removeAllListeners('close');
      socket.destroy();
      await echo[Symbol.asyncDispose]();
    },
  };
}

export interface Route {
  readonly from: OverlayPod;
  readonly to: OverlayPod;
  /** Of `to`. */
  readonly ip: string;
}

/** Sets one overlay after the other while a connection over each route goes on, with not a byte or an error too many. */
export async function switchAlong(
  t: TestContext,
  machine: Machine,
  overlays: readonly string[],
  routes: readonly Route[],
): Promise<void> {
  await using ends = new AsyncDisposableStack();
  const streams: Stream[] = [];
  for (const { from, to, ip } of routes) streams.push(ends.use(await startStream(from, to, ip)));
  const goOn = (bytes: number) => Promise.all(streams.map((stream) => stream.goesOn(bytes)));
  await goOn(1 << 20);
  for (const overlay of overlays) {
    if (overlay === 'udp' && !existsSync('/dev/net/tun')) continue;
    const before = streams.map((stream) => stream.received());
    await machine.mustPodwire('overlay', 'set', ...overlay.split(' '));
    const meanwhile = streams.map((stream, i) => stream.received() - before[i]!);
    await goOn(1 << 20);
    t.diagnostic(`${overlay}: ${meanwhile.join(' and ')} bytes came back while it was set`);
  }
}
