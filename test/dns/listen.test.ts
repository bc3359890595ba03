// The server's UDP side over loopback, by batches and by Node's own sockets: every question has its answer, from where it was asked.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { listenUdp } from '../../src/dns/listen-udp.ts';
import type { Client } from '../../src/dns/respond.ts';
import { noLookup } from '../../src/dns/upstream-socket.ts';

function client(t: TestContext, v6: boolean): Promise<Socket> {
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: noLookup, recvBufferSize: 1 << 20 });
  t.after(() => socket.close());
  return new Promise((resolve) => socket.bind(0, v6 ? '::1' : '127.0.0.1', () => resolve(socket)));
}

/** The first byte says how it is to be answered. */
const ECHO = 1;
const LATER = 2;
const NEVER = 3;

for (const plain of [false, true]) {
  for (const ip of ['127.0.0.1', '::1']) {
    test(`${plain ? 'one by one' : 'in batches'} on ${ip}: answers at once, later and never`, async (t) => {
      const clients: Client[] = [];
      const respond = (packet: Uint8Array, _protocol: string, from: Client) => {
        clients.push({ ip: from.ip, port: from.port });
        if (packet[0] === NEVER) return undefined;
        const answer = Buffer.from(packet);
        return packet[0] === LATER ? new Promise<Buffer>((done) => setImmediate(done, answer)) : answer;
      };
      const listener = listenUdp(ip, 0, respond, { plain });
      t.after(() => listener.close());
      const socket = await client(t, ip === '::1');
      const seen = new Set<string>();
      socket.on('message', (answer, from) => {
        assert.deepEqual([from.address, from.port], [ip, listener.port]);
        seen.add(answer.toString('hex'));
      });
      const packet = (kind: number, i: number) => Buffer.from([kind, i >> 8, i & 255, ...new Array(i).fill(7)]);
      for (let i = 0; i < 200; i++) {
        for (const kind of [ECHO, NEVER, LATER]) socket.send(packet(kind, i), listener.port, ip);
        // As many at a time as any machine's buffers hold.
        if (i % 20 === 19) while (seen.size < 2 * (i + 1)) await once(socket, 'message');
      }
      assert.deepEqual(
        [...seen].sort(),
        [ECHO, LATER].flatMap((kind) => Array.from({ length: 200 }, (_, i) => packet(kind, i).toString('hex'))).sort(),
      );
      const { port } = socket.address();
      assert.deepEqual(
        [clients.length, new Set(clients.map((each) => `${each.ip} ${each.port}`))],
        [600, new Set([`${ip} ${port}`])],
      );
    });
  }
}

test('a listener that is closed by what it answers takes nothing more, and does no harm', async (t) => {
  let answered = 0;
  const closed = Promise.withResolvers<void>();
  const listener = listenUdp('127.0.0.1', 0, (packet) => {
    answered++;
    listener.close();
    closed.resolve();
    return Buffer.from(packet);
  });
  const socket = await client(t, false);
  socket.send(Buffer.from('one'), listener.port, '127.0.0.1');
  await closed.promise;
  // The port is free once more, and whoever listens on it now is asked.
  const next = listenUdp('127.0.0.1', listener.port, (packet) => Buffer.from(packet));
  t.after(() => next.close());
  const answer = once(socket, 'message');
  socket.send(Buffer.from('two'), listener.port, '127.0.0.1');
  assert.deepEqual([(await answer)[0], answered], [Buffer.from('two'), 1]);
});
