// Cookies towards an upstream resolver over loopback: shown, demanded, forged, lost; the resolver speaks by a library that is not ours.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import * as packet from 'dns-packet';
import { RCODE, TYPE } from '../wire/dns/message.ts';
import { listenTcp } from './listen-tcp.ts';
import { listenUdp } from './listen-udp.ts';
import { exchange } from './upstream.ts';
import { UpstreamCookie } from './upstream-cookie.ts';

const COOKIE = 10;
const BADCOOKIE = 23;
const SERVER = Buffer.from('0100000065000000aabbccddeeff0011', 'hex');
const HOST = `127.54.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`;
const QUESTION = { name: 'www.test', type: TYPE.A, recursionDesired: true, dnssecOk: false, checkingDisabled: false };

interface Asked {
  readonly protocol: 'udp' | 'tcp';
  /** Undefined: no cookie, or no EDNS at all. */
  readonly cookie: Buffer | undefined;
  readonly edns: boolean;
}

interface Reply {
  readonly cookie?: Buffer;
  readonly rcode?: number;
  /** Instead of 192.0.2.1. */
  readonly address?: string;
}

function resolver(t: TestContext, reply: (asked: Asked) => Reply): { port: number; asked: Asked[] } {
  const asked: Asked[] = [];
  const respond = (bytes: Uint8Array, protocol: 'udp' | 'tcp') => {
    const query = packet.decode(Buffer.from(bytes));
    const opt = query.additionals?.find((record) => record.type === 'OPT') as packet.OptAnswer | undefined;
    const option = opt?.options.find(({ code }) => (code as number) === COOKIE) as { data?: Buffer } | undefined;
    const one: Asked = { protocol, cookie: option?.data, edns: opt !== undefined };
    asked.push(one);
    return encode(query, reply(one), one.edns);
  };
  const datagrams = listenUdp(HOST, 0, respond);
  const streams = listenTcp(HOST, datagrams.port, respond);
  t.after(() => {
    datagrams.close();
    streams.close();
  });
  return { port: datagrams.port, asked };
}

function encode(query: packet.Packet, { cookie, rcode = 0, address = '192.0.2.1' }: Reply, edns: boolean): Buffer {
  const options = cookie ? [{ code: COOKIE, data: cookie }] : [];
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: 1232,
    extendedRcode: rcode >> 4,
    ednsVersion: 0,
    flags: 0,
    options,
  };
  return packet.encode({
    type: 'response',
    id: query.id ?? 0,
    flags: packet.RECURSION_AVAILABLE | (rcode & 15),
    questions: query.questions ?? [],
    answers: rcode === 0 ? [{ type: 'A', name: 'www.test', ttl: 60, data: address }] : [],
    additionals: edns ? [opt as unknown as packet.Answer] : [],
  });
}

const good = ({ cookie }: Asked): Reply => ({ cookie: Buffer.concat([cookie!.subarray(0, 8), SERVER]) });

async function ask(port: number, cookie: UpstreamCookie, timeout = 30_000): Promise<string> {
  const answer = await exchange({ ip: HOST, port }, QUESTION, { timeout, cookie });
  const [record] = answer.answers;
  return record?.type === 'A' ? record.address : `rcode ${answer.rcode}`;
}

test('the first question shows eight bytes, the next what the resolver gave, and another resolver sees other bytes', async (t) => {
  const { port, asked } = resolver(t, good);
  const cookie = new UpstreamCookie();
  for (const _ of [1, 2]) assert.equal(await ask(port, cookie), '192.0.2.1');
  await ask(port, new UpstreamCookie());
  const [first, second, other] = asked.map((each) => each.cookie!);
  assert.equal(first!.length, 8);
  assert.deepEqual(second, Buffer.concat([first!, SERVER]));
  assert.notDeepEqual(other!.subarray(0, 8), first);
});

test('BADCOOKIE is answered with the cookie that came along', async (t) => {
  const { port, asked } = resolver(t, (each) => ({ ...good(each), rcode: each.cookie!.length > 8 ? 0 : BADCOOKIE }));
  assert.equal(await ask(port, new UpstreamCookie()), '192.0.2.1');
  assert.deepEqual(
    asked.map((each) => each.cookie!.length),
    [8, 24],
  );
});

test('who takes no cookie over UDP is asked over TCP; who takes none there either has failed', async (t) => {
  const stubborn = resolver(t, (each) => ({ ...good(each), rcode: each.protocol === 'udp' ? BADCOOKIE : 0 }));
  assert.equal(await ask(stubborn.port, new UpstreamCookie()), '192.0.2.1');
  assert.deepEqual(
    stubborn.asked.map((each) => each.protocol),
    ['udp', 'udp', 'tcp'],
  );
  const broken = resolver(t, (each) => ({ ...good(each), rcode: BADCOOKIE }));
  await assert.rejects(ask(broken.port, new UpstreamCookie()), /none of its own cookies/);
});

test('an answer with another cookie, or with one of no length, is nobody’s', async (t) => {
  for (const forged of [Buffer.alloc(24, 7), Buffer.alloc(11)]) {
    const { port } = resolver(t, () => ({ cookie: forged, address: '203.0.113.66' }));
    await assert.rejects(ask(port, new UpstreamCookie(), 200), /timeout/);
  }
});

test('who has given a cookie and is heard without one is asked over TCP, and believed there', async (t) => {
  let knows = true;
  const { port, asked } = resolver(t, (each) => {
    if (knows) return good(each);
    return { address: each.protocol === 'udp' ? '203.0.113.66' : '192.0.2.1' };
  });
  const cookie = new UpstreamCookie();
  await ask(port, cookie);
  knows = false;
  assert.equal(await ask(port, cookie), '192.0.2.1');
  assert.deepEqual(
    asked.map((each) => each.protocol),
    ['udp', 'udp', 'tcp'],
  );
  // It has none any more: no TCP from now on.
  assert.equal(await ask(port, cookie), '203.0.113.66');
});

test('who does not know cookies is asked as ever; who stumbles over them is asked without', async (t) => {
  const plain = resolver(t, () => ({}));
  const cookie = new UpstreamCookie();
  for (const _ of [1, 2]) assert.equal(await ask(plain.port, cookie), '192.0.2.1');
  assert.ok(plain.asked.every((each) => each.protocol === 'udp' && each.cookie?.length === 8));
  const puzzled = resolver(t, ({ edns }) => ({ rcode: edns ? RCODE.FORMERR : 0 }));
  assert.equal(await ask(puzzled.port, new UpstreamCookie()), '192.0.2.1');
  assert.deepEqual(
    puzzled.asked.map((each) => each.edns),
    [true, false],
  );
});

test('after a day the bytes are others', () => {
  const cookie = new UpstreamCookie();
  const [first, same, next] = [0, 86_399_999, 86_400_000].map((now) => Buffer.from(cookie.option(now).data));
  assert.deepEqual([same, next!.equals(first!)], [first, false]);
});
