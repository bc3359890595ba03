// Room dns: which names a resolver asks for, what they cost, and which name would have cost less.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Message, RCODE, type ResourceRecord } from '../wire/dns/message.ts';
import { queryMessage } from '../wire/dns/writer.ts';
import { traceLookup } from './lookup-trace.ts';
import { candidates, parseResolvConf } from './resolv-conf.ts';

const POD = `search shop.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
`;

test('resolv.conf: what is there, defaults for the rest, and no more than the library takes', () => {
  const defaults = { timeout: 5, attempts: 2 };
  assert.deepEqual(parseResolvConf(POD), {
    ...defaults,
    nameservers: ['10.96.0.10'],
    searches: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
    ndots: 5,
  });
  assert.deepEqual(parseResolvConf(''), { ...defaults, nameservers: ['127.0.0.1'], searches: [], ndots: 1 });
  const many = [1, 2, 3, 4].map((i) => `nameserver 192.0.2.${i}`).join('\n');
  const text = `# comment\ndomain a.b\nsearch c.d. e\n${many}\nnameserver x\noptions rotate ndots:99 timeout:0 attempts:3`;
  assert.deepEqual(parseResolvConf(text), {
    nameservers: ['192.0.2.1', '192.0.2.2', '192.0.2.3'],
    searches: ['c.d', 'e'],
    ndots: 15,
    timeout: 1,
    attempts: 3,
  });
});

const walks: [name: string, ndots: number, names: string[]][] = [
  ['web', 5, ['web.a', 'web.b.c', 'web']],
  ['www.test', 5, ['www.test.a', 'www.test.b.c', 'www.test']],
  ['www.test', 1, ['www.test', 'www.test.a', 'www.test.b.c']],
  ['www.test.', 5, ['www.test']],
  ['web', 0, ['web', 'web.a', 'web.b.c']],
  ['a.b.c.d.e.f', 5, ['a.b.c.d.e.f', 'a.b.c.d.e.f.a', 'a.b.c.d.e.f.b.c']],
];
for (const [name, ndots, names] of walks) {
  test(`${name} with ndots:${ndots} is ${names.join(', ')}`, () => {
    assert.deepEqual(candidates(name, { searches: ['a', 'b.c'], ndots }), names);
  });
}

/** A world in which some names have an address. */
function world(known: Record<string, string>, broken: readonly string[] = []) {
  return async (server: string, name: string, type: number): Promise<Message> => {
    if (broken.includes(server)) throw new Error('timeout');
    const address = type === 1 ? known[name] : undefined;
    const answers: ResourceRecord[] = address ? [{ name, class: 1, ttl: 5, type: 'A', address }] : [];
    return queryMessage(1, name, type, {
      response: true,
      rcode: known[name] ? RCODE.NOERROR : RCODE.NXDOMAIN,
      answers,
    });
  };
}

test('a name outside costs eight queries, and as it stands with a dot at its end two', async () => {
  const conf = parseResolvConf(POD);
  const outside = world({ 'www.test': '192.0.2.1' });
  const trace = await traceLookup('www.test', conf, ['A', 'AAAA'], outside);
  assert.deepEqual(
    trace.queries.map(({ name, type, answer }) => `${name} ${type} ${answer}`),
    [
      'www.test.shop.svc.cluster.local. A NXDOMAIN',
      'www.test.shop.svc.cluster.local. AAAA NXDOMAIN',
      'www.test.svc.cluster.local. A NXDOMAIN',
      'www.test.svc.cluster.local. AAAA NXDOMAIN',
      'www.test.cluster.local. A NXDOMAIN',
      'www.test.cluster.local. AAAA NXDOMAIN',
      'www.test. A NOERROR',
      'www.test. AAAA NOERROR',
    ],
  );
  assert.deepEqual([trace.found, trace.better, trace.addresses], ['www.test.', 'www.test.', ['192.0.2.1']]);
  const best = await traceLookup('www.test.', conf, ['A', 'AAAA'], outside);
  assert.deepEqual([best.queries.length, best.found, best.better], [2, 'www.test.', undefined]);
});

test('a name that is nowhere is asked for to the end, and nothing would have cost less', async () => {
  const trace = await traceLookup('web', parseResolvConf(POD), ['A'], world({}));
  assert.deepEqual([trace.queries.length, trace.found, trace.better], [4, undefined, undefined]);
});

test('a server that is silent costs its time, at every name', async () => {
  const conf = parseResolvConf(`nameserver 192.0.2.1\n${POD}`);
  const trace = await traceLookup('web', conf, ['A'], world({ 'web.svc.cluster.local': '10.96.0.2' }, ['192.0.2.1']));
  assert.deepEqual(
    trace.queries.map(({ server, answer }) => `${server} ${answer}`),
    ['192.0.2.1 TIMEOUT', '10.96.0.10 NXDOMAIN', '192.0.2.1 TIMEOUT', '10.96.0.10 NOERROR'],
  );
  assert.equal(trace.better, 'web.svc.cluster.local.');
});
