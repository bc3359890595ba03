// Room dns: what is answered without being read is what would have been answered, and only while it is true.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { logger } from '../observe/log.ts';
import type { Message, ResourceRecord } from '../wire/dns/message.ts';
import { decodeMessage } from '../wire/dns/reader.ts';
import { encodeMessage, queryMessage } from '../wire/dns/writer.ts';
import { chain } from './chain.ts';
import { PacketCache } from './packet-cache.ts';
import { wordMemory } from './packet-words.ts';
import { ClusterRecords } from './records.ts';
import { type Respond, responder } from './respond.ts';
import { DnsStats } from './stats.ts';

const client = { ip: '10.244.0.5', port: 4000 };
const meta = (name: string) => ({ namespace: 'shop', name, uid: name, resourceVersion: '1', creationTimestamp: '' });

interface World {
  readonly records: ClusterRecords;
  readonly packets: PacketCache;
  readonly stats: DnsStats;
  readonly respond: Respond;
}

function world(bytes = 1 << 16): World {
  const packets = new PacketCache(bytes);
  const stats = new DnsStats();
  const records = new ClusterRecords({
    zone: 'cluster.local',
    dnsIPs: ['10.96.0.10'],
    onChange: (dependency) => packets.drop(dependency),
  });
  const resolve = chain({ records, isSynced: () => true, reverseCIDRs: ['10.96.0.0/16'], forward: () => undefined });
  const respond = responder({ resolve, stats, log: logger('dns'), packets });
  records.setNamespace('shop', true);
  setService(records, 'web', '10.96.0.20');
  setEndpoints(records, 4);
  return { records, packets, stats, respond };
}

function setService(records: ClusterRecords, name: string, clusterIP: string): void {
  const spec = { clusterIP, ports: [{ name: 'http', port: 80 }] };
  records.setService(`shop/${name}`, { apiVersion: 'v1', kind: 'Service', metadata: meta(name), spec });
}

function setEndpoints(records: ClusterRecords, count: number): void {
  setService(records, 'db', 'None');
  records.setSlice({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...meta('db-1'), labels: { 'kubernetes.io/service-name': 'db' } },
    addressType: 'IPv4',
    endpoints: Array.from({ length: count }, (_, i) => ({ addresses: [`10.244.1.${i + 1}`] })),
    ports: [],
  });
}

/** As the listener does it: what is kept, else undefined. */
function kept({ packets }: World, question: Uint8Array): Message | undefined {
  const memory = wordMemory(8192);
  // What came before is still there.
  memory.bytes.fill(0x55);
  memory.bytes.set(question, 100);
  packets.now = performance.now();
  const length = packets.answer(memory, 100, 100 + question.length, 4096, 'v4');
  if (length === 0) return undefined;
  const message = decodeMessage(memory.bytes.slice(4096, 4096 + length));
  assert.ok(!('malformed' in message));
  return message;
}

function made({ respond }: World, question: Uint8Array): Message {
  const bytes = respond(question, 'udp', client);
  assert.ok(bytes instanceof Uint8Array);
  const message = decodeMessage(bytes);
  assert.ok(!('malformed' in message));
  return message;
}

const NAMES = [
  'web.shop.svc.cluster.local',
  'db.shop.svc.cluster.local',
  '_http._tcp.web.shop.svc.cluster.local',
  'nope.shop.svc.cluster.local',
  'www.example.com.shop.svc.cluster.local',
  'shop.svc.cluster.local',
  '10-244-0-7.shop.pod.cluster.local',
  '20.0.96.10.in-addr.arpa',
  '21.0.96.10.in-addr.arpa',
  'dns-version.cluster.local',
];

/** Whatever the case of its letters. */
const spelled = fc
  .tuple(fc.constantFrom(...NAMES), fc.infiniteStream(fc.boolean()))
  .map(([name, upper]) => Array.from(name, (letter) => (upper.next().value ? letter.toUpperCase() : letter)).join(''));
const question = fc
  .record({
    name: spelled,
    type: fc.constantFrom(1, 12, 16, 28, 33, 255),
    id: fc.nat(0xffff),
    recursionDesired: fc.boolean(),
    edns: fc.option(fc.record({ udpSize: fc.constantFrom(512, 1232, 4096), dnssecOk: fc.boolean() })),
  })
  .map(({ name, type, id, recursionDesired, edns }) =>
    encodeMessage(
      queryMessage(id, name, type, { recursionDesired, ...(edns && { edns: { ...edns, version: 0, options: [] } }) }),
    ),
  );

/** Names compare without case, and addresses stand in any order. */
function comparable({ answers, authorities, additionals, ...rest }: Message): object {
  const plain = (records: readonly ResourceRecord[]) =>
    records.map((record) => JSON.stringify(record).toLowerCase()).sort();
  return { ...rest, answers: plain(answers), authorities: plain(authorities), additionals: plain(additionals) };
}

test('a kept answer is the answer, with the id and the spelling of who asks', () => {
  const one = world();
  fc.assert(
    fc.property(question, question, (first, second) => {
      for (const packet of [first, second, first]) {
        const fast = kept(one, packet);
        const slow = made(one, packet);
        if (fast) assert.deepEqual(comparable(fast), comparable(slow));
        assert.deepEqual(comparable(kept(one, packet)!), comparable(slow));
      }
    }),
    { numRuns: 1000 },
  );
});

test('any bytes at all are answered or not, and never throw', () => {
  const one = world();
  const bytes = fc.uint8Array({ maxLength: 100 });
  const damaged = fc.tuple(question, fc.nat(60), fc.nat(255)).map(([packet, at, value]) => {
    const copy = new Uint8Array(packet);
    copy[at % copy.length] = value;
    return copy;
  });
  const cut = fc.tuple(question, fc.nat(100)).map(([packet, length]) => new Uint8Array(packet.subarray(0, length)));
  fc.assert(
    fc.property(fc.oneof(bytes, damaged, cut), (packet) => {
      const answer = one.respond(packet, 'udp', client);
      assert.ok(answer === undefined || answer instanceof Uint8Array);
      if (!answer) return;
      const message = decodeMessage(answer);
      assert.ok(!('malformed' in message) && message.response);
      const fast = kept(one, packet);
      if (fast) assert.deepEqual(comparable(fast), comparable(message));
    }),
    { numRuns: 5000 },
  );
});

const ask = (name: string, type = 1) => encodeMessage(queryMessage(7, name, type));

test('what an answer was made of changes: it is forgotten, and nothing else', () => {
  const one = world();
  const asked = ['web', 'db', 'later'].map((name) => ask(`${name}.shop.svc.cluster.local`));
  const pointer = ask('20.0.96.10.in-addr.arpa', 12);
  for (const packet of [...asked, pointer]) made(one, packet);
  const have = () => [...asked, pointer].map((packet) => kept(one, packet) !== undefined);
  assert.deepEqual(have(), [true, true, true, true]);
  setEndpoints(one.records, 5);
  assert.deepEqual(have(), [true, false, true, true]);
  setService(one.records, 'later', '10.96.0.30');
  assert.deepEqual(have(), [true, false, false, true]);
  setService(one.records, 'web', '10.96.0.21');
  assert.deepEqual(have(), [false, false, false, false]);
});

test('several addresses come in another order each time, each as often first', () => {
  const one = world();
  const packet = ask('db.shop.svc.cluster.local');
  made(one, packet);
  const firsts = new Map<string, number>();
  for (let i = 0; i < 40; i++) {
    const [first] = kept(one, packet)!.answers;
    assert.ok(first?.type === 'A');
    firsts.set(first.address, (firsts.get(first.address) ?? 0) + 1);
  }
  assert.deepEqual([...firsts.values()], [10, 10, 10, 10]);
});

test('answers are counted by what they are', () => {
  const one = world();
  const packet = ask('web.shop.svc.cluster.local');
  made(one, packet);
  kept(one, packet);
  kept(one, ask('WEB.shop.svc.cluster.local'));
  const kind = { protocol: 'udp', type: 'A', rcode: 'NOERROR', dnssecOk: false, plugin: 'kubernetes' };
  assert.deepEqual([...one.stats.tallies], [{ ...kind, v4: 3, v6: 0 }]);
});

test('the oldest makes room, and what is dropped takes no place among its like', () => {
  const one = world(2048);
  const asked = Array.from({ length: 40 }, (_, i) => ask(`name-${i}.shop.svc.cluster.local`));
  const oldestKept = (upTo: number) => {
    const have = asked.slice(0, upTo).map((packet) => kept(one, packet) !== undefined);
    const first = have.indexOf(true);
    assert.ok(first >= 0 && have.slice(first).every(Boolean), `after ${upTo}: ${have}`);
    return first;
  };
  for (const [i, packet] of asked.entries()) {
    made(one, packet);
    assert.ok(oldestKept(i + 1) >= i - 8);
  }
  assert.ok(oldestKept(40) < 38);
  for (let round = 0; round < 40; round++) {
    setService(one.records, `name-${round}`, '10.96.0.40');
    made(one, asked[round]!);
    assert.equal(kept(one, asked[round]!)?.answers.length, 1);
  }
});

test('what is larger than all the memory is not kept, and nothing else is lost for it', () => {
  const one = world(512);
  const small = ask('web.shop.svc.cluster.local');
  made(one, small);
  setEndpoints(one.records, 30);
  made(one, ask('db.shop.svc.cluster.local'));
  assert.equal(kept(one, ask('db.shop.svc.cluster.local')), undefined);
  assert.ok(kept(one, small));
});

test('an answer for a time grows old second by second, and ends with it', () => {
  const { packets, stats } = world();
  const packet = ask('www.example.com');
  const records: ResourceRecord[] = [
    { name: 'www.example.com', class: 1, ttl: 5, type: 'CNAME', target: 'web.example.com' },
    { name: 'web.example.com', class: 1, ttl: 300, type: 'A', address: '192.0.2.1' },
  ];
  const edns = { udpSize: 1232, version: 0, dnssecOk: true, options: [] };
  const answer = queryMessage(1, 'www.example.com', 1, { response: true, answers: records, edns });
  const hits = { count: 0 };
  const tally = stats.tally({ protocol: 'udp', type: 1, rcode: 0, dnssecOk: true, plugin: 'cache' });
  packets.put(packet, [new Uint8Array(encodeMessage(answer))], { until: 4500, ages: 600, hits }, tally);
  const memory = wordMemory(8192);
  memory.bytes.set(packet);
  const ttlsAt = (now: number) => {
    packets.now = now;
    const length = packets.answer(memory, 0, packet.length, 4096, 'v4');
    if (length === 0) return undefined;
    const message = decodeMessage(memory.bytes.slice(4096, 4096 + length));
    assert.ok(!('malformed' in message));
    assert.deepEqual(message.edns, edns);
    return message.answers.map(({ ttl }) => ttl);
  };
  assert.deepEqual([0, 599, 600, 1599, 1600, 4499, 4500].map(ttlsAt), [
    [5, 300],
    [5, 300],
    [4, 299],
    [4, 299],
    [3, 298],
    [1, 296],
    undefined,
  ]);
  assert.equal(hits.count, 6);
});
