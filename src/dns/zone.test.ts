// Room dns: what the cluster's zone answers, as lines of a zone file; the cases of the Kubernetes DNS specification 1.1 by its sections.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice, Service } from '../objects/types.ts';
import { RCODE, type ResourceRecord, rcodeName, TYPE } from '../wire/dns/message.ts';
import { recordText } from '../wire/dns/text.ts';
import { chain } from './chain.ts';
import { type Answer, failed, type Handler } from './query.ts';
import { ClusterRecords } from './records.ts';

const meta = (namespace: string, name: string, labels: Record<string, string> = {}) => {
  return { namespace, name, labels, uid: `${namespace}-${name}`, resourceVersion: '1', creationTimestamp: '' };
};

function service(key: string, spec: Service['spec']): Service {
  const [namespace, name] = key.split('/') as [string, string];
  return { apiVersion: 'v1', kind: 'Service', metadata: meta(namespace, name), spec };
}

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];
const ready = (ip: string, hostname?: string): Endpoint => {
  return { addresses: [ip], conditions: { ready: true }, ...(hostname && { hostname }) };
};
const notReady = (ip: string, hostname?: string): Endpoint => ({
  ...ready(ip, hostname),
  conditions: { ready: false },
});

function slice(key: string, of: string, endpoints: Endpoint[], ports: EndpointSlice['ports'] = []): EndpointSlice {
  const [namespace, name] = key.split('/') as [string, string];
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: meta(namespace, name, { 'kubernetes.io/service-name': of }),
    addressType: endpoints[0]?.addresses[0]?.includes(':') ? 'IPv6' : 'IPv4',
    endpoints,
    ports,
  };
}

const headless = { clusterIP: 'None', clusterIPs: ['None'] };

function cluster(): ClusterRecords {
  const records = new ClusterRecords({ zone: 'cluster.local', dnsIPs: ['10.96.0.10'] });
  for (const namespace of ['default', 'shop', 'empty']) records.setNamespace(namespace, true);
  const services = [
    service('shop/web', {
      clusterIP: '10.96.0.20',
      clusterIPs: ['10.96.0.20', 'fd00:10:96::20'],
      ports: [
        { name: 'http', port: 80, protocol: 'TCP' },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ],
    }),
    service('shop/plain', { type: 'NodePort', clusterIP: '10.96.0.21', ports: [{ port: 8080 }] }),
    service('shop/pending', { ports: [{ port: 80 }] }),
    service('shop/db', { ...headless, ports: [{ name: 'sql', port: 5432 }] }),
    service('shop/bare', { ...headless }),
    service('shop/nobody', { ...headless, ports: [{ name: 'sql', port: 5432 }] }),
    service('shop/early', { ...headless, publishNotReadyAddresses: true }),
    service('shop/inside', { type: 'ExternalName', externalName: 'WEB.shop.svc.cluster.local.' }),
    service('shop/outside', { type: 'ExternalName', externalName: 'www.example.com' }),
    service('shop/loop', { type: 'ExternalName', externalName: 'loop.shop.svc.cluster.local' }),
    service('shop/dangling', { type: 'ExternalName', externalName: 'gone.shop.svc.cluster.local' }),
    service('shop/address', { type: 'ExternalName', externalName: '192.0.2.1' }),
  ];
  for (const one of services) records.setService(`${one.metadata.namespace}/${one.metadata.name}`, one);
  const sql = [{ name: 'sql', port: 5432, protocol: 'TCP' }];
  records.setSlice(slice('shop/db-1', 'db', [ready('10.244.1.4', 'db-0'), notReady('10.244.1.5', 'db-1')], sql));
  records.setSlice(slice('shop/db-2', 'db', [ready('10.244.2.6')], sql));
  records.setSlice(slice('shop/db-6', 'db', [ready('fd00:10:244:1::4', 'db-0')], sql));
  records.setSlice(slice('shop/bare-1', 'bare', [ready('10.244.1.9')]));
  records.setSlice(slice('shop/nobody-1', 'nobody', [notReady('10.244.1.7')], sql));
  records.setSlice(slice('shop/early-1', 'early', [notReady('10.244.1.8', 'e-0')]));
  records.setSlice(slice('shop/web-1', 'web', [ready('10.244.1.30')], [{ name: 'http', port: 8080 }]));
  records.setSlice(slice('shop/ext-1', 'bare', [ready('198.51.100.7', 'far')]));
  return records;
}

/** The world outside: one name. */
const outside: Handler = ({ name, lower, type }) => {
  if (lower !== 'www.example.com') return Promise.resolve(failed(RCODE.NXDOMAIN));
  const answers: ResourceRecord[] =
    type === TYPE.A ? [{ name, class: 1, ttl: 60, type: 'A', address: '203.0.113.80' }] : [];
  return Promise.resolve({ ...failed(RCODE.NOERROR), answers });
};

async function ask(records: ClusterRecords, question: string, synced = true): Promise<Answer> {
  const [name, type] = question.split(' ') as [string, keyof typeof TYPE];
  const resolve = chain({
    records,
    isSynced: () => synced,
    reverseCIDRs: ['10.96.0.0/16', '10.244.0.0/16', '172.30.0.0/24', 'fd00:10:96::/112', '10.112.0.0/12'],
    forward: outside,
  });
  const flags = { recursionDesired: true, dnssecOk: false, checkingDisabled: false };
  return await resolve({ name, lower: name.toLowerCase(), type: TYPE[type], ...flags });
}

/** Sorted, as the order of records has no meaning; negative answers as NXDOMAIN or NODATA with the zone that says so. */
function show(answer: Answer): string[] {
  if (answer.answers.length > 0) {
    const lines = answer.answers.map(recordText).sort();
    return answer.rcode === RCODE.NOERROR ? lines : [...lines, rcodeName(answer.rcode)];
  }
  const soa = answer.authorities.find((record) => record.type === 'SOA');
  return [`${answer.rcode === RCODE.NOERROR ? 'NODATA' : rcodeName(answer.rcode)}${soa ? ` ${soa.name}` : ''}`];
}

const NXDOMAIN = ['NXDOMAIN cluster.local'];
const NODATA = ['NODATA cluster.local'];

const cases: readonly [section: string, question: string, answer: readonly string[]][] = [
  ['2.2 schema version', 'dns-version.cluster.local TXT', ['dns-version.cluster.local. 5 IN TXT "1.1.0"']],
  ['2.2 schema version', 'dns-version.cluster.local A', NODATA],
  ['2.3.1 ClusterIP', 'web.shop.svc.cluster.local A', ['web.shop.svc.cluster.local. 5 IN A 10.96.0.20']],
  ['2.3.1 ClusterIP', 'web.shop.svc.cluster.local AAAA', ['web.shop.svc.cluster.local. 5 IN AAAA fd00:10:96::20']],
  ['2.3.1 IPv4 only', 'plain.shop.svc.cluster.local AAAA', NODATA],
  ['2.3.1 case is kept', 'WeB.shop.SVC.cluster.LOCAL A', ['WeB.shop.SVC.cluster.LOCAL. 5 IN A 10.96.0.20']],
  ['2.3.1 no address yet', 'pending.shop.svc.cluster.local A', NXDOMAIN],
  ['2.3.1 no such Service', 'nope.shop.svc.cluster.local A', NXDOMAIN],
  ['2.3.1 no such namespace', 'web.nope.svc.cluster.local A', NXDOMAIN],
  ['2.3.1 another type', 'web.shop.svc.cluster.local MX', NODATA],
  ['2.3.1 ANY', 'web.shop.svc.cluster.local ANY', ['web.shop.svc.cluster.local. 5 IN HINFO \\# 9 075246433834383200']],
  [
    '2.3.2 SRV',
    '_http._tcp.web.shop.svc.cluster.local SRV',
    ['_http._tcp.web.shop.svc.cluster.local. 5 IN SRV 0 100 80 web.shop.svc.cluster.local.'],
  ],
  [
    '2.3.2 SRV UDP, other case',
    '_DNS._Udp.web.shop.svc.cluster.local SRV',
    ['_DNS._Udp.web.shop.svc.cluster.local. 5 IN SRV 0 100 53 web.shop.svc.cluster.local.'],
  ],
  ['2.3.2 the port under another protocol', '_http._udp.web.shop.svc.cluster.local SRV', NXDOMAIN],
  ['2.3.2 no such port', '_nope._tcp.web.shop.svc.cluster.local SRV', NXDOMAIN],
  ['2.3.2 an unnamed port', '_8080._tcp.plain.shop.svc.cluster.local SRV', NXDOMAIN],
  ['2.3.2 a port has no address', '_http._tcp.web.shop.svc.cluster.local A', NODATA],
  ['2.3.2 between port and Service', '_tcp.web.shop.svc.cluster.local SRV', NODATA],
  ['2.3.2 between, without named ports', '_tcp.plain.shop.svc.cluster.local SRV', NXDOMAIN],
  [
    '2.3.2 at the Service, unnamed ports too',
    'plain.shop.svc.cluster.local SRV',
    ['plain.shop.svc.cluster.local. 5 IN SRV 0 100 8080 plain.shop.svc.cluster.local.'],
  ],
  ['2.3.3 PTR', '20.0.96.10.in-addr.arpa PTR', ['20.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.cluster.local.']],
  [
    '2.3.3 PTR IPv6',
    '0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.D.F.IP6.ARPA PTR',
    ['0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.D.F.IP6.ARPA. 5 IN PTR web.shop.svc.cluster.local.'],
  ],
  ['2.3.3 PTR of nobody', '99.0.96.10.in-addr.arpa PTR', ['NXDOMAIN 96.10.in-addr.arpa']],
  ['2.3.3 PTR, another type', '20.0.96.10.in-addr.arpa A', ['NODATA 96.10.in-addr.arpa']],
  ['2.3.3 PTR, half an address', '0.96.10.in-addr.arpa PTR', ['NODATA 96.10.in-addr.arpa']],
  ['2.3.3 PTR, no address', '_dns-sd.0.96.10.in-addr.arpa PTR', ['NXDOMAIN 96.10.in-addr.arpa']],
  ['2.3.3 PTR, a range that is sixteen zones', '1.0.113.10.in-addr.arpa PTR', ['NXDOMAIN 113.10.in-addr.arpa']],
  ['2.3.3 PTR, not our range', '1.2.0.192.in-addr.arpa PTR', ['NXDOMAIN']],
  [
    '2.4.1 headless',
    'db.shop.svc.cluster.local A',
    ['db.shop.svc.cluster.local. 5 IN A 10.244.1.4', 'db.shop.svc.cluster.local. 5 IN A 10.244.2.6'],
  ],
  ['2.4.1 headless IPv6', 'db.shop.svc.cluster.local AAAA', ['db.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::4']],
  ['2.4.1 hostname', 'db-0.db.shop.svc.cluster.local A', ['db-0.db.shop.svc.cluster.local. 5 IN A 10.244.1.4']],
  [
    '2.4.1 hostname, case kept',
    'DB-0.db.shop.svc.cluster.local A',
    ['DB-0.db.shop.svc.cluster.local. 5 IN A 10.244.1.4'],
  ],
  [
    '2.4.1 hostname IPv6',
    'db-0.db.shop.svc.cluster.local AAAA',
    ['db-0.db.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::4'],
  ],
  ['2.4.1 hostname, not ready', 'db-1.db.shop.svc.cluster.local A', NXDOMAIN],
  [
    '2.4.1 no hostname: the address',
    '10-244-2-6.db.shop.svc.cluster.local A',
    ['10-244-2-6.db.shop.svc.cluster.local. 5 IN A 10.244.2.6'],
  ],
  ['2.4.1 nobody ready', 'nobody.shop.svc.cluster.local A', NXDOMAIN],
  ['2.4.1 not ready, published', 'early.shop.svc.cluster.local A', ['early.shop.svc.cluster.local. 5 IN A 10.244.1.8']],
  ['2.4.1 endpoints of a ClusterIP have no names', '10-244-1-30.web.shop.svc.cluster.local A', NXDOMAIN],
  [
    '2.4.2 headless SRV',
    '_sql._tcp.db.shop.svc.cluster.local SRV',
    [
      '_sql._tcp.db.shop.svc.cluster.local. 5 IN SRV 0 100 5432 10-244-2-6.db.shop.svc.cluster.local.',
      '_sql._tcp.db.shop.svc.cluster.local. 5 IN SRV 0 100 5432 db-0.db.shop.svc.cluster.local.',
    ],
  ],
  ['2.4.2 nobody ready', '_sql._tcp.nobody.shop.svc.cluster.local SRV', NXDOMAIN],
  ['2.4.2 no ports', 'bare.shop.svc.cluster.local SRV', NODATA],
  [
    '2.4.3 headless PTR',
    '4.1.244.10.in-addr.arpa PTR',
    ['4.1.244.10.in-addr.arpa. 5 IN PTR db-0.db.shop.svc.cluster.local.'],
  ],
  [
    '2.4.3 headless PTR, no hostname',
    '6.2.244.10.in-addr.arpa PTR',
    ['6.2.244.10.in-addr.arpa. 5 IN PTR 10-244-2-6.db.shop.svc.cluster.local.'],
  ],
  ['2.4.3 not ready', '5.1.244.10.in-addr.arpa PTR', ['NXDOMAIN 244.10.in-addr.arpa']],
  ['2.4.3 endpoint of a ClusterIP', '30.1.244.10.in-addr.arpa PTR', ['NXDOMAIN 244.10.in-addr.arpa']],
  [
    '2.4.3 an endpoint outside our ranges',
    '7.100.51.198.in-addr.arpa PTR',
    ['7.100.51.198.in-addr.arpa. 5 IN PTR far.bare.shop.svc.cluster.local.'],
  ],
  [
    '2.5 ExternalName',
    'outside.shop.svc.cluster.local CNAME',
    ['outside.shop.svc.cluster.local. 5 IN CNAME www.example.com.'],
  ],
  [
    '2.5 ExternalName, followed outside',
    'outside.shop.svc.cluster.local A',
    ['outside.shop.svc.cluster.local. 5 IN CNAME www.example.com.', 'www.example.com. 60 IN A 203.0.113.80'],
  ],
  [
    '2.5 ExternalName, followed inside',
    'inside.shop.svc.cluster.local A',
    [
      'WEB.shop.svc.cluster.local. 5 IN A 10.96.0.20',
      'inside.shop.svc.cluster.local. 5 IN CNAME WEB.shop.svc.cluster.local.',
    ],
  ],
  [
    '2.5 ExternalName, leading nowhere',
    'dangling.shop.svc.cluster.local A',
    ['dangling.shop.svc.cluster.local. 5 IN CNAME gone.shop.svc.cluster.local.', 'NXDOMAIN'],
  ],
  [
    '2.5 ExternalName, leading to itself',
    'loop.shop.svc.cluster.local A',
    ['loop.shop.svc.cluster.local. 5 IN CNAME loop.shop.svc.cluster.local.', 'SERVFAIL'],
  ],
  ['2.5 ExternalName that is an address', 'address.shop.svc.cluster.local A', NODATA],
  ['pod', '10-244-0-7.shop.pod.cluster.local A', ['10-244-0-7.shop.pod.cluster.local. 5 IN A 10.244.0.7']],
  ['pod, the other family', '10-244-0-7.shop.pod.cluster.local AAAA', NODATA],
  ['pod IPv6', 'fd00-10--7.shop.pod.cluster.local AAAA', ['fd00-10--7.shop.pod.cluster.local. 5 IN AAAA fd00:10::7']],
  ['pod, no address', 'web.shop.pod.cluster.local A', NXDOMAIN],
  ['pod, out of range', '10-244-0-256.shop.pod.cluster.local A', NXDOMAIN],
  ['pod, no such namespace', '10-244-0-7.nope.pod.cluster.local A', NXDOMAIN],
  ['pod, below', 'x.10-244-0-7.shop.pod.cluster.local A', NXDOMAIN],
  ['the zone', 'cluster.local NS', ['cluster.local. 5 IN NS ns.dns.cluster.local.']],
  ['the zone', 'cluster.local A', NODATA],
  ['the name server', 'ns.dns.cluster.local A', ['ns.dns.cluster.local. 5 IN A 10.96.0.10']],
  ['names between', 'svc.cluster.local A', NODATA],
  ['names between', 'shop.svc.cluster.local A', NODATA],
  ['names between', 'empty.svc.cluster.local A', NODATA],
  ['names between', 'nope.svc.cluster.local A', NXDOMAIN],
  ['names between', 'pod.cluster.local A', NODATA],
  ['names between', 'shop.pod.cluster.local A', NODATA],
  ['names between', 'dns.cluster.local A', NODATA],
  ['a search list at work', 'example.com.shop.svc.cluster.local A', NXDOMAIN],
  ['a search list at work', 'example.com.svc.cluster.local A', NXDOMAIN],
  ['a search list at work', 'www.example.com.cluster.local A', NXDOMAIN],
  ['a dot within a label', 'web\\.shop.svc.cluster.local A', NXDOMAIN],
  ['too many labels', 'a._http._tcp.web.shop.svc.cluster.local A', NXDOMAIN],
  ['the rest', 'www.example.com A', ['www.example.com. 60 IN A 203.0.113.80']],
  ['the rest, alike', 'mycluster.local A', ['NXDOMAIN']],
];

const records = cluster();
for (const [section, question, expected] of cases) {
  test(`${section}: ${question}`, async () => {
    const answer = await ask(records, question);
    assert.deepEqual(show(answer), expected);
  });
}

test('SOA of the zone, whose serial grows with every change', async () => {
  const own = cluster();
  const soa = () => {
    const [record] = own.apex();
    return record;
  };
  const before = soa().serial;
  assert.deepEqual(show(await ask(own, 'cluster.local SOA')), [
    `cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. ${before} 7200 1800 86400 5`,
  ]);
  own.setNamespace('more', true);
  assert.ok(soa().serial > before);
});

test('SRV brings the addresses of its targets along', async () => {
  const { additionals } = await ask(records, '_sql._tcp.db.shop.svc.cluster.local SRV');
  assert.deepEqual(additionals.map(recordText).sort(), [
    '10-244-2-6.db.shop.svc.cluster.local. 5 IN A 10.244.2.6',
    'db-0.db.shop.svc.cluster.local. 5 IN A 10.244.1.4',
    'db-0.db.shop.svc.cluster.local. 5 IN AAAA fd00:10:244:1::4',
  ]);
});

test('until synced the cluster is SERVFAIL, the rest is answered', async () => {
  for (const question of ['web.shop.svc.cluster.local A', 'nope.cluster.local A', '20.0.96.10.in-addr.arpa PTR']) {
    const answer = await ask(records, question, false);
    assert.deepEqual([show(answer), answer.ede?.code], [['SERVFAIL'], 14]);
  }
  assert.equal((await ask(records, 'www.example.com A', false)).rcode, RCODE.NOERROR);
});

test('answers follow every change, and removals leave nothing behind', async () => {
  const own = new ClusterRecords({ zone: 'cluster.local', dnsIPs: [] });
  const show1 = async (question: string) => show(await ask(own, question)).join(' ');
  const name = 'db.shop.svc.cluster.local';
  const pods = slice('shop/db-1', 'db', [ready('10.244.1.4', 'db-0')]);

  own.setSlice(pods);
  assert.equal(await show1(`${name} A`), 'NXDOMAIN cluster.local', 'a slice alone is no Service');
  own.setService('shop/db', service('shop/db', headless));
  assert.equal(await show1(`${name} A`), `${name}. 5 IN A 10.244.1.4`);
  assert.equal(await show1('4.1.244.10.in-addr.arpa PTR'), `4.1.244.10.in-addr.arpa. 5 IN PTR db-0.${name}.`);

  own.setSlice({ ...pods, endpoints: [notReady('10.244.1.4', 'db-0'), ready('10.244.1.6', 'db-1')] });
  assert.equal(await show1(`${name} A`), `${name}. 5 IN A 10.244.1.6`);
  assert.equal(await show1('4.1.244.10.in-addr.arpa PTR'), 'NXDOMAIN 244.10.in-addr.arpa');

  own.setService('shop/db', service('shop/db', { clusterIP: '10.96.0.5' }));
  assert.equal(await show1(`${name} A`), `${name}. 5 IN A 10.96.0.5`);
  assert.equal(await show1('6.1.244.10.in-addr.arpa PTR'), 'NXDOMAIN 244.10.in-addr.arpa');
  assert.equal(await show1('5.0.96.10.in-addr.arpa PTR'), `5.0.96.10.in-addr.arpa. 5 IN PTR ${name}.`);

  own.setService('shop/db', service('shop/db', { ...headless, publishNotReadyAddresses: true }));
  assert.equal((await ask(own, `${name} A`)).answers.length, 2);
  assert.equal(await show1('5.0.96.10.in-addr.arpa PTR'), 'NXDOMAIN 96.10.in-addr.arpa');

  own.setSlice({ ...pods, metadata: { ...pods.metadata, labels: { 'kubernetes.io/service-name': 'other' } } });
  assert.equal(await show1(`${name} A`), 'NXDOMAIN cluster.local', 'the slice went to another Service');
  own.removeSlice('shop/db-1');
  own.setService('shop/db', undefined);
  assert.equal(await show1(`${name} A`), 'NXDOMAIN cluster.local');
  assert.deepEqual(own.namesOf('10.244.1.4'), []);
});

test('the order of several addresses changes from answer to answer', async () => {
  const firsts = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const [first] = (await ask(records, 'db.shop.svc.cluster.local A')).answers;
    if (first?.type === 'A') firsts.add(first.address);
  }
  assert.equal(firsts.size, 2);
});

test('by config: another TTL, and pods by their names where endpoints have no hostname', async () => {
  const records = new ClusterRecords({ zone: 'cluster.local', dnsIPs: ['10.96.0.10'], ttl: 30, podNames: true });
  records.setNamespace('shop', true);
  records.setService('shop/db', service('shop/db', { ...headless }));
  const pod = (name: string) => ({ targetRef: { kind: 'Pod', namespace: 'shop', name } });
  const endpoints = [
    { ...ready('10.244.1.4', 'db-0'), ...pod('one') },
    { ...ready('10.244.1.5'), ...pod('two') },
    ready('10.244.1.6'),
  ];
  records.setSlice(slice('shop/db-1', 'db', endpoints));
  const lines = (name: string) =>
    records.find(`${name}.db.shop.svc`)?.map((data) => (data.type === 'A' ? data.address : ''));
  assert.deepEqual(['db-0', 'one', 'two', '10-244-1-5', '10-244-1-6'].map(lines), [
    ['10.244.1.4'],
    undefined,
    ['10.244.1.5'],
    undefined,
    ['10.244.1.6'],
  ]);
  assert.deepEqual(records.namesOf('10.244.1.5'), ['two.db.shop.svc.cluster.local']);
  const resolve = chain({ records, isSynced: () => true, reverseCIDRs: [], forward: () => failed(RCODE.REFUSED) });
  const flags = { recursionDesired: true, dnssecOk: false, checkingDisabled: false };
  const ask = async (name: string) => resolve({ name, lower: name, type: TYPE.A, ...flags });
  assert.deepEqual(
    (await ask('two.db.shop.svc.cluster.local')).answers.map(({ ttl }) => ttl),
    [30],
  );
  const [soa] = (await ask('nobody.shop.svc.cluster.local')).authorities;
  assert.deepEqual([soa?.ttl, soa?.type === 'SOA' && soa.minimum], [30, 30]);
});
