// What a config may say of the DNS server, seen by dig: hosts, stub domains, rewrites, autopath, the cache, loops, metrics.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DEFAULT_SETTINGS } from '../../src/dns/settings.ts';
import { startRelay, startUpstream, type TestUpstream } from './upstream.ts';
import { DNS, DnsWorld, reasonToSkip, service, shop, slice } from './world.ts';

const skip = reasonToSkip() ?? false;
/** Who asks from here has a pod's search list. */
const POD = '127.0.0.5';
const SEARCHES = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example'];

let world: DnsWorld;
let upstream: TestUpstream;
let stub: TestUpstream;

before(async () => {
  if (skip) return;
  world = new DnsWorld('dnsset');
  upstream = startUpstream(world.outerNs, '127.0.0.1', 5300);
  // In the node's own namespace, as a Service would be.
  stub = startUpstream(world.nodeNs, '10.96.0.53', 5353);
  const dns = {
    ...DEFAULT_SETTINGS,
    stubDomains: { 'Corp.Example': ['10.96.0.53#5353'], '1.0.10.in-addr.arpa': ['10.96.0.53#5353'] },
    hosts: { 'Static.test': ['192.0.2.99', 'fd00::99'] },
    rewrites: { 'old.test': 'web.shop.svc.cluster.local', '*.short': '*.shop.svc.cluster.local' },
    autopath: true,
  };
  // Nobody is at the first.
  await world.start({ dnsUpstreams: ['127.0.0.1#5309', '127.0.0.1#5300'], dns }, { [POD]: SEARCHES });
  await world.inNode('ip', 'address', 'add', '10.96.0.53/32', 'dev', 'lo');
  await world.sync(
    shop,
    service('web', { clusterIP: '10.96.0.20', ports: [{ name: 'http', port: 80 }] }),
    service('db', { clusterIP: 'None' }),
    slice('db', [{ addresses: ['10.244.1.4'] }, { addresses: ['10.244.1.5'] }]),
  );
});

after(async () => {
  upstream?.close();
  stub?.close();
  await world?.close();
});

test('static hosts: both families, NODATA for other types, and their pointers', { skip }, async () => {
  assert.deepEqual(await world.answers('static.TEST'), ['static.TEST. 5 IN A 192.0.2.99']);
  assert.deepEqual(await world.answers('static.test', 'AAAA'), ['static.test. 5 IN AAAA fd00::99']);
  assert.match(await world.dig('static.test', 'MX'), /status: NOERROR[\s\S]*ANSWER: 0, AUTHORITY: 1/);
  assert.deepEqual(await world.answers('-x', '192.0.2.99'), ['99.2.0.192.in-addr.arpa. 5 IN PTR Static.test.']);
  assert.equal(upstream.asked.get('static.test'), undefined);
});

test('a stub domain has its own resolvers, reached as the cluster reaches them', { skip }, async () => {
  assert.deepEqual(await world.answers('+nottlid', 'db.corp.example'), ['db.corp.example. IN A 192.0.2.14']);
  assert.equal(await world.status('nope.CORP.example'), 'NXDOMAIN');
  assert.equal(await world.status('-x', '10.0.1.7'), 'NXDOMAIN');
  assert.deepEqual(
    ['db.corp.example', '7.1.0.10.in-addr.arpa'].map((name) => [stub.asked.get(name), upstream.asked.get(name)]),
    [
      [1, undefined],
      [1, undefined],
    ],
  );
});

test('a rewritten name is answered as the other, under its own name', { skip }, async () => {
  assert.deepEqual(await world.answers('OLD.test'), ['OLD.test. 5 IN A 10.96.0.20']);
  assert.deepEqual(await world.answers('Web.short'), ['Web.short. 5 IN A 10.96.0.20']);
  assert.deepEqual(await world.answers('_http._tcp.web.short', 'SRV'), [
    '_http._tcp.web.short. 5 IN SRV 0 100 80 web.shop.svc.cluster.local.',
  ]);
  assert.equal(await world.status('nope.short'), 'NXDOMAIN');
  world.send(service('web', { clusterIP: '10.96.0.21' }));
  assert.deepEqual(await world.answers('old.test'), ['old.test. 5 IN A 10.96.0.21']);
});

test('autopath: a name outside costs a pod one question, and nobody else is led astray', { skip }, async () => {
  const inPath = 'www.test.shop.svc.cluster.local';
  const alias = [`${inPath}. IN CNAME www.test.`, 'web.test. IN A 192.0.2.10', 'www.test. IN CNAME web.test.'].sort();
  for (const _ of [1, 2]) {
    assert.equal(await world.status(inPath), 'NXDOMAIN', 'another asker');
    assert.deepEqual(await world.answers('+nottlid', '-b', POD, inPath), alias);
  }
  // Found on the way: in another domain of the list.
  assert.deepEqual(await world.answers('+nottlid', '-b', POD, 'db.shop.svc.cluster.local'), [
    'db.shop.svc.cluster.local. IN A 10.244.1.4',
    'db.shop.svc.cluster.local. IN A 10.244.1.5',
  ]);
  assert.deepEqual(await world.answers('+nottlid', '-b', POD, 'db.shop.shop.svc.cluster.local'), [
    'db.shop.shop.svc.cluster.local. IN CNAME db.shop.svc.cluster.local.',
    'db.shop.svc.cluster.local. IN A 10.244.1.4',
    'db.shop.svc.cluster.local. IN A 10.244.1.5',
  ]);
  assert.equal(await world.status('-b', POD, 'nowhere.test.shop.svc.cluster.local'), 'NXDOMAIN');
});

const metric = async (line: RegExp) => {
  const text = await world.inNode('curl', '-s', `http://${DNS}:9153/metrics`);
  return Number(line.exec(text)?.[1] ?? 0);
};
const PREFETCHED = /^coredns_cache_prefetch_total\{[^}]*\} (\d+)$/m;
const STALE = /^coredns_cache_served_stale_total\{[^}]*\} (\d+)$/m;

async function until(what: string, probe: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000;
  while (!(await probe())) {
    assert.ok(performance.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('an upstream that is silent is passed over, tried again on the side, and used once it is there', {
  skip,
}, async () => {
  for (let i = 0; i < 5; i++) assert.equal(await world.status(`other-${i}.test`), 'NXDOMAIN');
  assert.equal(upstream.asked.get('other-4.test'), 1);
  const first = startUpstream(world.outerNs, '127.0.0.1', 5309);
  try {
    let i = 0;
    await until('the first of the list is asked first', async () => {
      const name = `again-${i++}.test`;
      return (await world.status(name)) === 'NXDOMAIN' && first.asked.get(name) === 1 && !upstream.asked.has(name);
    });
  } finally {
    first.close();
  }
});

test('a name in use is asked for again before its time is over', { skip }, async () => {
  await until('it is fetched ahead', async () => {
    assert.equal((await world.answers('short.test')).length, 1);
    return (await metric(PREFETCHED)) > 0;
  });
});

test('without any upstream what was true before is said, with a word on it; the cluster is as ever', {
  skip,
}, async () => {
  assert.equal((await world.answers('brief.test')).length, 1);
  upstream.close();
  await until('it is stale', async () => /EDE: 3 .*was true before/.test(await world.dig('brief.test')));
  assert.deepEqual(await world.answers('brief.test'), ['brief.test. 30 IN A 192.0.2.12']);
  assert.ok((await metric(STALE)) >= 2);
  assert.equal(await world.status('never-asked.test'), 'SERVFAIL');
  assert.equal(await world.status('web.shop.svc.cluster.local'), 'NOERROR');
  upstream = startUpstream(world.outerNs, '127.0.0.1', 5300);
  await until('news come', async () => !/EDE: 3/.test(await world.dig('brief.test')));
});

test('metrics under the names of CoreDNS, health and readiness', { skip }, async () => {
  const get = (path: string) => world.inNode('curl', '-s', '-w', ' %{http_code}', `http://${DNS}:9153${path}`);
  assert.match(await get('/ready'), /^OK 200$/);
  assert.match(await get('/health'), /^OK 200$/);
  assert.match(await get('/'), /404$/);
  // As CoreDNS has it.
  assert.equal(await world.inNode('curl', '-s', `http://${DNS}:8181/ready`), 'OK');
  const hits = /^coredns_cache_hits_total\{.*type="success"\} (\d+)$/m;
  const before = await metric(hits);
  for (const _ of [1, 2, 3]) await world.dig('+dnssec', 'www.test');
  assert.equal((await metric(hits)) - before, 2, 'also what was given again as bytes');
  const text = await get('/metrics');
  for (const line of [
    /^coredns_build_info\{version="[^"]+",.*\} 1$/m,
    /^coredns_dns_requests_total\{server="dns:\/\/:53",zone="\.",view="",proto="udp",family="1",type="A"\} \d+$/m,
    /^coredns_dns_responses_total\{.*rcode="NXDOMAIN",plugin="kubernetes"\} \d+$/m,
    /^coredns_dns_responses_total\{.*rcode="NOERROR",plugin="autopath"\} \d+$/m,
    /^coredns_dns_responses_total\{.*rcode="NOERROR",plugin="cache"\} \d+$/m,
    /^coredns_dns_responses_total\{.*rcode="NOERROR",plugin="forward"\} \d+$/m,
    /^coredns_dns_responses_total\{.*rcode="NOERROR",plugin="hosts"\} \d+$/m,
    /^coredns_dns_do_requests_total\{server="dns:\/\/:53",zone="\.",view=""\} 3$/m,
    /^coredns_panics_total 0$/m,
    /^coredns_plugin_enabled\{.*name="autopath"\} 1$/m,
    /^coredns_autopath_success_total\{server="dns:\/\/:53"\} [1-9]\d*$/m,
    /^coredns_dns_request_size_bytes_bucket\{.*proto="udp",le="100"\} \d+$/m,
    /^coredns_dns_request_duration_seconds_bucket\{.*le="0\.00025"\} \d+$/m,
    /^coredns_dns_request_duration_seconds_count\{.*\} \d+$/m,
    /^coredns_dns_response_size_bytes_bucket\{.*le="511"\} \d+$/m,
    /^coredns_cache_entries\{.*type="success"\} \d+$/m,
    hits,
    /^coredns_cache_requests_total\{server="dns:\/\/:53",zones="\.",view=""\} \d+$/m,
    /^coredns_cache_evictions_total\{.*type="denial"\} 0$/m,
    /^coredns_forward_requests_total\{to="127\.0\.0\.1#5300"\} \d+$/m,
    /^coredns_proxy_request_duration_seconds_count\{proxy_name="forward",to="127\.0\.0\.1#5300",rcode="NOERROR"\} \d+$/m,
    /^coredns_proxy_request_duration_seconds_bucket\{.*rcode="NXDOMAIN",le="0\.00025"\} \d+$/m,
    /^coredns_proxy_healthcheck_failures_total\{proxy_name="forward",to="127\.0\.0\.1#5309"\} [1-9]\d*$/m,
    /^coredns_forward_healthcheck_broken_total [1-9]\d*$/m,
    /^coredns_forward_max_concurrent_rejects_total 0$/m,
    /^coredns_kubernetes_dns_programming_duration_seconds_count\{service_kind="headless_with_selector"\} 0$/m,
    /^coredns_hosts_entries 1$/m,
  ]) {
    assert.match(text, line);
  }
  assert.match(text, /^# TYPE coredns_dns_request_duration_seconds histogram$/m);
});

test('cookies: the client gets its own back with the server part, and a cookie alone is an answer', {
  skip,
}, async () => {
  const asked = ['+cookie=0123456789abcdef', 'web.shop.svc.cluster.local'];
  assert.match(await world.dig(...asked), /; COOKIE: 0123456789abcdef01000000[0-9a-f]{24} \(good\)/);
  assert.equal(await world.status('+ednsopt=10:0123', 'web.shop.svc.cluster.local'), 'FORMERR');
  assert.equal(await world.status('+header-only', '+cookie=0123456789abcdef'), 'NOERROR');
});

test('a resolver that leads back to us is left alone, and used again when it does not; the cluster is served', {
  skip,
}, async () => {
  await using looped = new DnsWorld('dnsloop');
  const relay = startRelay(looped.outerNs, '127.0.0.1', 5301, { ip: DNS, port: 53, netns: looped.nodeNs });
  try {
    await looped.start({ dnsUpstreams: ['127.0.0.1#5301'] });
    await looped.sync(shop, service('web', { clusterIP: '10.96.0.20' }));
    await until('the loop is seen', async () =>
      /EDE: 22 .*leads back to this server/.test(await looped.dig('www.test')),
    );
    for (let i = 0; i < 10; i++) assert.equal(await looped.status(`name-${i}.test`), 'SERVFAIL');
    assert.deepEqual(await looped.answers('web.shop.svc.cluster.local'), [
      'web.shop.svc.cluster.local. 5 IN A 10.96.0.20',
    ]);
  } finally {
    relay.close();
  }
  const mended = startUpstream(looped.outerNs, '127.0.0.1', 5301);
  try {
    await until('it is used again', async () => (await looped.answers('www.test')).length === 2);
  } finally {
    mended.close();
  }
});
