// Probes between two namespaces: everything that can come of a packet.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createNetns, inNetns, netnsPath, removeNamespace, socketIn } from '../../src/sys/netns.ts';
import { bindSocket, listenOn } from '../../src/sys/socket.ts';
import { openProbe, type Probe, probe } from '../../src/trace/probe.ts';

const missing = ['ip', 'nft'].filter((tool) => spawnSync(tool, ['-V']).error !== undefined);
const skip =
  process.getuid?.() !== 0
    ? 'needs root for network namespaces'
    : missing.length > 0
      ? `needs ${missing.join(', ')}`
      : false;

const near = netnsPath(`pwt-probe${process.pid}-a`);
const far = netnsPath(`pwt-probe${process.pid}-b`);
const ADDRESSES = { 4: '192.0.2.2', 6: '2001:db8::2' } as const;
const OWN = { 4: '192.0.2.1', 6: '2001:db8::1' } as const;
/** Long enough for an answer that is due on any machine. */
const DUE = 30_000;

describe('probe', { skip }, () => {
  const closers: (() => void)[] = [];
  before(async () => {
    for (const path of [near, far]) createNetns(path);
    inNetns(near, () => ip(['link add eth0 type veth peer name eth0 netns', far.split('/').at(-1)!].join(' ')));
    for (const [path, [v4, v6]] of [
      [near, [OWN[4], OWN[6]]],
      [far, [ADDRESSES[4], ADDRESSES[6]]],
    ] as const) {
      inNetns(path, () => {
        for (const line of ['link set lo up', 'link set eth0 up', `addr add ${v4}/24 dev eth0`]) ip(line);
        ip(`addr add ${v6}/64 dev eth0 nodad`);
      });
    }
    inNetns(far, () =>
      execFileSync('nft', [
        'add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c th dport 99 drop',
      ]),
    );
    for (const family of [4, 6] as const) await serve(family);
  });
  after(() => {
    for (const close of closers) close();
    for (const path of [near, far]) removeNamespace(path);
  });

  async function serve(family: 4 | 6): Promise<void> {
    const host = ADDRESSES[family];
    const open = (type: 'stream' | 'dgram') => socketIn(far, family === 4 ? 'inet' : 'inet6', type);
    const listen = (port: number, onSocket: Parameters<typeof createServer>[1]) =>
      new Promise<void>((resolve) => {
        const server = createServer(onSocket).listen({ fd: listenOn(open('stream'), host, port) }, resolve);
        closers.push(() => server.close());
      });
    await listen(80, (socket) => socket.on('error', () => {}).on('data', (data) => socket.end(`heard ${data}`)));
    await listen(81, (socket) => socket.on('error', () => {}).on('data', () => socket.resetAndDestroy()));
    const fd = open('dgram');
    bindSocket(fd, host, 80);
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    socket.on('message', (data, { port, address }) => socket.send(`heard ${data} from ${port}`, port, address));
    await new Promise<void>((resolve) => socket.bind({ fd }, resolve));
    closers.push(() => socket.close());
  }

  for (const family of [4, 6] as const) {
    const ask = (port: number, protocol: Probe['protocol'], more: Partial<Probe> = {}) =>
      probe({ netns: near, to: ADDRESSES[family], port, protocol, timeoutMs: DUE, ...more });

    test(`IPv${family}: TCP`, async () => {
      const [open, spoken, closed, cut, dropped, nowhere] = await Promise.all([
        ask(80, 'TCP'),
        ask(80, 'TCP', { payload: 'x' }),
        ask(82, 'TCP'),
        ask(81, 'TCP', { payload: 'x' }),
        ask(99, 'TCP', { timeoutMs: 300 }),
        ask(80, 'TCP', { to: family === 4 ? '198.51.100.1' : '2001:db8:1::1' }),
      ]);
      assert.equal(open.outcome, 'connected');
      assert.deepEqual([spoken.outcome, spoken.answer], ['connected', 'heard x']);
      assert.equal(closed.outcome, 'refused');
      assert.equal(cut.outcome, 'reset');
      assert.equal(dropped.outcome, 'no answer');
      assert.equal(nowhere.outcome, 'unreachable');
    });

    test(`IPv${family}: UDP, from a port that is known before`, async () => {
      const opened = openProbe({
        netns: near,
        to: ADDRESSES[family],
        port: 80,
        protocol: 'UDP',
        payload: 'x',
        timeoutMs: DUE,
      });
      const { outcome, answer, fromPort } = await opened.send();
      assert.deepEqual([outcome, answer], ['connected', `heard x from ${opened.fromPort}`]);
      assert.equal(fromPort, opened.fromPort);
      assert.equal(
        (await ask(80, 'UDP', { from: OWN[family], fromPort: 4567, payload: 'x' })).answer,
        'heard x from 4567',
      );
      assert.equal((await ask(82, 'UDP')).outcome, 'refused');
      assert.equal((await ask(99, 'UDP', { timeoutMs: 300 })).outcome, 'no answer');
      openProbe({ netns: near, to: ADDRESSES[family], port: 80, protocol: 'UDP' }).close();
      openProbe({ netns: near, to: ADDRESSES[family], port: 80, protocol: 'TCP' }).close();
    });
  }
});

function ip(line: string): void {
  execFileSync('ip', line.split(' '));
}
