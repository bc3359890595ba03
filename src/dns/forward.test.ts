// Room dns: what forwarding decides without a network: which upstreams, what is kept and for how long, frames, reverse names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIP } from '../addr/ip.ts';
import { logger } from '../observe/log.ts';
import { RCODE, type ResourceRecord, TYPE } from '../wire/dns/message.ts';
import { Forwarder } from './forward.ts';
import { type Answer, failed } from './query.ts';
import { ResponseCache } from './response-cache.ts';
import { parseReverseName } from './reverse-zones.ts';
import { DnsStats } from './stats.ts';
import { Frames, frame } from './tcp-frames.ts';
import { parseUpstreams } from './upstream-addresses.ts';
import { LoopNames, UpstreamSet } from './upstream-set.ts';

const a = (ttl: number): ResourceRecord => ({ name: 'www.test', class: 1, ttl, type: 'A', address: '192.0.2.1' });
const soa = (ttl: number, minimum: number): ResourceRecord => {
  const numbers = { serial: 1, refresh: 1, retry: 1, expire: 1, minimum };
  return { name: 'test', class: 1, ttl, type: 'SOA', mname: 'ns.test', rname: 'root.test', ...numbers };
};
const ok = failed(RCODE.NOERROR);

const lifetimes: readonly [what: string, answer: Answer, seconds: number][] = [
  ['a positive answer lives as long as its shortest TTL', { ...ok, answers: [a(60), a(20)] }, 20],
  ['a very long TTL is cut', { ...ok, answers: [a(86400)] }, 300],
  ['a TTL of zero is not kept', { ...ok, answers: [a(0)] }, 0],
  ['NXDOMAIN lives by the SOA', { ...failed(RCODE.NXDOMAIN), authorities: [soa(25, 10)] }, 10],
  ['NODATA lives by the SOA, cut', { ...ok, authorities: [soa(3600, 3600)] }, 30],
  ['NXDOMAIN without SOA is not kept', failed(RCODE.NXDOMAIN), 0],
  ['SERVFAIL is not kept', failed(RCODE.SERVFAIL), 0],
];
for (const [what, answer, seconds] of lifetimes) {
  test(`cache: ${what}`, () => {
    let now = 1000;
    const cache = new ResponseCache({ size: 10, staleFor: 0 }, () => now);
    cache.put('key', answer);
    const { success, denial } = cache.sizes;
    assert.equal(success + denial, seconds > 0 ? 1 : 0);
    now += seconds - 1;
    if (seconds > 0) {
      const [record] = [...cache.get('key')!.answer.answers, ...cache.get('key')!.answer.authorities];
      const [original] = [...answer.answers, ...answer.authorities];
      assert.equal(record?.ttl, original!.ttl - (seconds - 1));
    }
    now += 1;
    assert.equal(cache.get('key'), undefined);
  });
}

test('cache: the oldest entry makes room', () => {
  const cache = new ResponseCache({ size: 2 });
  for (const key of ['one', 'two', 'three']) cache.put(key, { ...ok, answers: [a(60)] });
  assert.deepEqual([cache.get('one'), cache.sizes], [undefined, { success: 2, denial: 0 }]);
});

test('cache: an answer in use is due shortly before its end, and stale after it', () => {
  let now = 1000;
  const cache = new ResponseCache({ staleFor: 60 }, () => now);
  const seen = (at: number) => {
    now = at;
    const { freshness, answer, until } = cache.get('key') ?? {};
    return [freshness, answer?.answers[0]?.ttl, until];
  };
  cache.put('key', { ...ok, answers: [a(100)] });
  assert.deepEqual(seen(1010), ['fresh', 90, 1090]);
  assert.deepEqual(seen(1090), ['due', 10, 1091]);
  assert.deepEqual(seen(1099.5), ['due', 1, 1100]);
  assert.deepEqual(seen(1100), ['stale', 30, 1100]);
  assert.deepEqual(seen(1159), ['stale', 30, 1159]);
  assert.deepEqual(seen(1160), [undefined, undefined, undefined]);
  // Nobody asked for it again: it need not be fetched.
  cache.put('key', { ...ok, answers: [a(100)] });
  assert.deepEqual(seen(1255), ['fresh', 5, 1256]);
});

test('upstreams: addresses with ports, never ourselves, near ones from the own namespace', () => {
  const policy = { dnsIPs: ['10.96.0.10'], nearCIDRs: ['172.30.0.0/24'], netns: '/proc/1/ns/net' };
  const texts = ['192.0.2.53', '127.0.0.1#5353', 'fd00::53#53', '172.30.0.1', '10.96.0.10', 'dns.google', '1.1.1.1#0'];
  assert.deepEqual(parseUpstreams(texts, policy), {
    upstreams: [
      { ip: '192.0.2.53', port: 53, netns: '/proc/1/ns/net' },
      { ip: '127.0.0.1', port: 5353, netns: '/proc/1/ns/net' },
      { ip: 'fd00::53', port: 53, netns: '/proc/1/ns/net' },
      { ip: '172.30.0.1', port: 53 },
    ],
    refused: ['10.96.0.10', 'dns.google', '1.1.1.1#0'],
  });
});

test('without an upstream every question outside fails at once', async () => {
  const { handler } = new Forwarder({ upstreams: new UpstreamSet([], new LoopNames(), logger('dns')) });
  const flags = { recursionDesired: true, dnssecOk: false, checkingDisabled: false };
  const answer = await handler({ name: 'www.test', lower: 'www.test', type: 1, ...flags });
  assert.deepEqual([answer?.rcode, answer?.ede?.code], [RCODE.SERVFAIL, 22]);
});

test('frames come out of a stream as they went in, however it is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), fc.array(fc.nat(20)), (messages, cuts) => {
      const seen: number[][] = [];
      const frames = new Frames((message) => seen.push([...message]));
      let stream = Buffer.concat(messages.map(frame));
      for (const cut of cuts) {
        frames.push(stream.subarray(0, cut));
        stream = stream.subarray(cut);
      }
      frames.push(stream);
      assert.deepEqual(
        seen,
        messages.map((message) => [...message]),
      );
    }),
  );
});

test('reverse names are read back to the address that they were made from', () => {
  const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
  const v6 = fc.uint8Array({ minLength: 16, maxLength: 16 });
  fc.assert(
    fc.property(fc.oneof(v4, v6), (bytes) => {
      const labels = bytes.length === 4 ? [...bytes] : [...Buffer.from(bytes).toString('hex')];
      const name = `${labels.toReversed().join('.')}.${bytes.length === 4 ? 'in-addr' : 'ip6'}.arpa`;
      const parsed = parseReverseName(name);
      assert.deepEqual([parsed?.ip, parsed?.full, parsed?.beyond], [formatIP(bytes), true, false]);
    }),
  );
  for (const name of ['in-addr.arpa', 'example.com', '1.in-addr.arpa.example']) {
    assert.equal(parseReverseName(name), undefined);
  }
});

test('stats count by code and give percentiles of latency', () => {
  const stats = new DnsStats();
  const count = (protocol: 'udp' | 'tcp', type: number, rcode: number) =>
    stats.tally({ protocol, type, rcode, dnssecOk: false, plugin: '' });
  count('udp', TYPE.A, RCODE.NOERROR).v4 += 98;
  count('tcp', TYPE.AAAA, RCODE.NXDOMAIN).v6 += 2;
  count('udp', 65280, RCODE.NOERROR).v4++;
  count('udp', 65281, RCODE.NOERROR).v4++;
  stats.latency.observe(100e-6, 98);
  stats.latency.observe(3e-3, 2);
  stats.dropped();
  assert.deepEqual(stats.snapshot(), {
    queries: { udp: 100, tcp: 2 },
    dropped: 1,
    rcodes: { NOERROR: 100, NXDOMAIN: 2 },
    latency: { p50: 0.125, p99: 4 },
  });
  assert.deepEqual(
    [...stats.tallies].map(({ type, v4, v6 }) => [type, v4, v6]),
    [
      ['A', 98, 0],
      ['AAAA', 0, 2],
      ['other', 2, 0],
    ],
  );
});
