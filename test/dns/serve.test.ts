// The DNS server as pods meet it: in a node's namespace on the Service address, with dig as the witness.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import type { DnsStatus } from '../../src/dns/start.ts';
import { noLookup } from '../../src/dns/upstream-socket.ts';
import { inNetns } from '../../src/sys/netns.ts';
import type { NodeMessage } from './node.worker.ts';
import { startUpstream, type TestUpstream } from './upstream.ts';
import { DNS, DnsWorld, reasonToSkip, service, shop, slice } from './world.ts';

const skip = reasonToSkip() ?? false;
let world: DnsWorld;
let upstream: TestUpstream;

const dig = (...args: string[]) => world.dig(...args);
const answers = (...args: string[]) => world.answers(...args);
const status = (...args: string[]) => world.status(...args);
const send = (message: NodeMessage) => world.send(message);

const objects: readonly NodeMessage[] = [
  shop,
  service('web', { clusterIPs: ['10.96.0.20', 'fd00:10:96::20'], ports: [{ name: 'http', port: 80 }] }),
  service('db', { clusterIP: 'None' }),
  service('many', { clusterIP: 'None' }),
  service('outside', { type: 'ExternalName', externalName: 'www.test' }),
  slice('db', [{ addresses: ['10.244.1.4'], hostname: 'db-0' }]),
  slice(
    'many',
    Array.from({ length: 200 }, (_, i) => ({ addresses: [`10.244.2.${i + 1}`] })),
  ),
];

before(async () => {
  if (skip) return;
  world = new DnsWorld('dns');
  upstream = startUpstream(world.outerNs, '127.0.0.1', 5300);
  await world.start({ dnsUpstreams: ['127.0.0.1#5300', DNS] });
});

after(async () => {
  upstream?.close();
  await world?.close();
});

test('until synced: SERVFAIL for the cluster, which dig may explain; answers for the rest', { skip }, async () => {
  const text = await dig('web.shop.svc.cluster.local');
  assert.match(text, /status: SERVFAIL/);
  assert.match(text, /EDE: 14 .*not yet known/);
  assert.equal((await answers('www.test')).length, 2);
  await world.sync(...objects);
});

test('Services, pods and their addresses', { skip }, async () => {
  const web = 'web.shop.svc.cluster.local.';
  assert.deepEqual(await answers(web), [`${web} 5 IN A 10.96.0.20`]);
  assert.deepEqual(await answers(web, 'AAAA'), [`${web} 5 IN AAAA fd00:10:96::20`]);
  assert.deepEqual(await answers(`_http._tcp.${web}`, 'SRV'), [`_http._tcp.${web} 5 IN SRV 0 100 80 ${web}`]);
  assert.deepEqual(await answers('-x', '10.96.0.20'), [`20.0.96.10.in-addr.arpa. 5 IN PTR ${web}`]);
  assert.deepEqual(await answers('db-0.db.shop.svc.cluster.local'), [
    'db-0.db.shop.svc.cluster.local. 5 IN A 10.244.1.4',
  ]);
  assert.deepEqual(await answers('-x', '10.244.1.4'), [
    '4.1.244.10.in-addr.arpa. 5 IN PTR db-0.db.shop.svc.cluster.local.',
  ]);
  assert.deepEqual(await answers('10-244-9-9.shop.pod.cluster.local'), [
    '10-244-9-9.shop.pod.cluster.local. 5 IN A 10.244.9.9',
  ]);
  assert.deepEqual(await answers('dns-version.cluster.local', 'TXT'), ['dns-version.cluster.local. 5 IN TXT "1.1.0"']);
  assert.deepEqual(await answers('WEB.shop.svc.Cluster.Local'), ['WEB.shop.svc.Cluster.Local. 5 IN A 10.96.0.20']);
});

test('NXDOMAIN and NODATA are told apart, with the SOA that lets them be kept', { skip }, async () => {
  const missing = await dig('www.test.shop.svc.cluster.local');
  assert.match(missing, /status: NXDOMAIN/);
  assert.match(missing, /flags: qr aa rd ra;/);
  assert.match(missing, /cluster\.local\.\s+5\s+IN\s+SOA\s+ns\.dns\.cluster\.local\./);
  const empty = await dig('db.shop.svc.cluster.local', 'AAAA');
  assert.match(empty, /status: NOERROR/);
  assert.match(empty, /ANSWER: 0, AUTHORITY: 1/);
  assert.equal(upstream.asked.get('www.test.shop.svc.cluster.local'), undefined);
});

test('over TCP, several questions on one connection', { skip }, async () => {
  const web = 'web.shop.svc.cluster.local';
  const text = await dig('+tcp', '+keepopen', web, web, 'AAAA', '+noall', '+answer');
  assert.match(text, /10\.96\.0\.20/);
  assert.match(text, /fd00:10:96::20/);
});

test('an answer that is too large is cut to what the asker can take, and whole over TCP', { skip }, async () => {
  const many = 'many.shop.svc.cluster.local';
  const sizes: [string[], number][] = [
    [['+noedns'], 512],
    [['+bufsize=800'], 800],
    [['+bufsize=4096'], 1232],
  ];
  for (const [options, limit] of sizes) {
    const text = await dig(...options, '+ignore', many);
    assert.match(text, /flags: qr aa tc rd ra;/);
    const size = Number(/MSG SIZE {2}rcvd: (\d+)/.exec(text)?.[1]);
    assert.ok(size <= limit && size > limit - 16, `${size} of ${limit} bytes`);
  }
  assert.equal((await answers(many)).length, 200);
});

test('EDNS: our size is told, unknown versions are refused, and who does not speak it gets none', {
  skip,
}, async () => {
  const web = 'web.shop.svc.cluster.local';
  assert.match(await dig('+dnssec', web), /EDNS: version: 0, flags: do; udp: 1232/);
  assert.doesNotMatch(await dig('+noedns', web), /EDNS/);
  assert.equal(await status('+edns=7', '+noednsnegotiation', web), 'BADVERS');
  // RFC 5001: all nodes answer under one address.
  assert.match(await dig('+nsid', web), /; NSID: .*\("worker-1"\)/);
  assert.doesNotMatch(await dig('+cookie', web), /NSID/);
});

test('what is no plain question of class IN is refused by the book', { skip }, async () => {
  const web = 'web.shop.svc.cluster.local';
  assert.equal(await status('+opcode=NOTIFY', web), 'NOTIMP');
  assert.equal(await status('-c', 'CH', '-t', 'TXT', 'version.bind'), 'REFUSED');
  assert.equal(await status('+header-only'), 'FORMERR');
  assert.match(await dig('AXFR', 'cluster.local'), /Transfer failed/);
  assert.match(await dig('+notcp', 'ANY', web), /HINFO\s+"RFC8482"/);
});

test('garbage is answered FORMERR or not at all, and never harms', { skip }, async () => {
  const socket = inNetns(world.nodeNs, () => {
    const opened = createSocket({ type: 'udp4', lookup: noLookup });
    opened.bind(0, '127.0.0.1');
    return opened;
  });
  const ask = async (...packets: string[]) => {
    const reply = once(socket, 'message', { signal: AbortSignal.timeout(30_000) });
    for (const hex of packets) socket.send(Buffer.from(hex, 'hex'), 53, DNS);
    return ((await reply) as [Buffer])[0].toString('hex');
  };
  using _closing = { [Symbol.dispose]: () => socket.close() };
  // id 0102, a name that points at itself
  assert.equal(await ask('010201000001000000000000c00c00010001'), '010281810000000000000000');
  // An answer and half a header get nothing: the reply is that to the third, an unknown opcode.
  assert.equal(await ask('010381800000000000000000', '0104', '010518000000000000000000'), '010598840000000000000000');
  assert.equal(await status('web.shop.svc.cluster.local'), 'NOERROR');
});

test('the rest of the world is asked of the upstream resolver, in the namespace that reaches it', {
  skip,
}, async () => {
  const forwarded = (...args: string[]) => answers('+nottlid', ...args);
  assert.deepEqual(await forwarded('WWW.test'), ['WWW.test. IN CNAME web.test.', 'web.test. IN A 192.0.2.10']);
  assert.deepEqual(await forwarded('mail.test', 'MX'), ['mail.test. IN MX 10 mx.mail.test.']);
  assert.equal(await status('nope.test'), 'NXDOMAIN');
  assert.match(await dig('www.test', 'AAAA'), /status: NOERROR[\s\S]*ANSWER: 0, AUTHORITY: 1/);
  assert.deepEqual(await forwarded('outside.shop.svc.cluster.local'), [
    'outside.shop.svc.cluster.local. IN CNAME www.test.',
    'web.test. IN A 192.0.2.10',
    'www.test. IN CNAME web.test.',
  ]);
});

test('an upstream answer that was cut is fetched over TCP', { skip }, async () => {
  assert.equal((await answers('+tcp', 'big.test', 'TXT')).length, 40);
  assert.equal(upstream.asked.get('big.test'), 2);
  assert.match(await dig('+ignore', 'big.test', 'TXT'), /flags: qr tc rd ra;/);
  assert.equal(upstream.asked.get('big.test'), 2, 'the second came from the cache');
});

test('an upstream that does not know EDNS is asked without', { skip }, async () => {
  assert.equal((await answers('old.test')).length, 1);
  assert.equal(upstream.asked.get('old.test'), 2);
});

test('equal questions at the same time are one question upstream', { skip }, async () => {
  const all = await Promise.all(Array.from({ length: 8 }, () => answers('slow.test')));
  for (const one of all) assert.equal(one.length, 1);
  assert.equal(upstream.asked.get('slow.test'), 1);
});

test('without an upstream the cluster is answered as before, and the rest fails fast', { skip }, async () => {
  upstream.close();
  for (let i = 0; i < 3; i++) {
    const text = await dig(`gone-${i}.test`);
    assert.match(text, /status: SERVFAIL/);
    assert.match(text, /EDE: 22 .*no upstream resolver answers/);
    assert.ok(Number(/Query time: (\d+) msec/.exec(text)?.[1]) < 2000);
  }
  assert.equal(await status('web.shop.svc.cluster.local'), 'NOERROR');
  upstream = startUpstream(world.outerNs, '127.0.0.1', 5300);
  const end = performance.now() + 30_000;
  while ((await status('www.test', 'CNAME')) === 'SERVFAIL') {
    assert.ok(performance.now() < end, 'the upstream is used again once it is back');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test('a change is answered at once; the counts tell what was done', { skip }, async () => {
  send(slice('db', [{ addresses: ['10.244.1.5'], hostname: 'db-1' }]));
  assert.equal(await status('db-0.db.shop.svc.cluster.local'), 'NXDOMAIN');
  assert.equal(await status('db-1.db.shop.svc.cluster.local'), 'NOERROR');
  send({ close: true });
  const [message] = (await once(world.worker, 'message')) as [{ status: DnsStatus }];
  const { synced, queries, rcodes, upstreams, dropped, latency } = message.status;
  assert.equal(synced, true);
  assert.ok(queries.udp > 20 && queries.tcp >= 3, JSON.stringify(queries));
  assert.ok(rcodes['NOERROR']! > 10 && rcodes['NXDOMAIN']! >= 3 && rcodes['SERVFAIL']! >= 4, JSON.stringify(rcodes));
  assert.deepEqual([dropped, upstreams], [2, [{ address: '127.0.0.1#5300', healthy: true, looping: false }]]);
  assert.ok(latency.p50 > 0 && latency.p50 <= latency.p99);
});
