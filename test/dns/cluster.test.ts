// Names as pods on three nodes meet them, over IPv4 and IPv6: the shapes of Kubernetes' page on DNS, applied by kubectl, asked by dig.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { kubectlSkip, Machine, until } from '../cluster/machine.ts';
import { MANIFESTS } from './manifests.ts';
import { startUpstream, type TestUpstream } from './upstream.ts';
import { reasonToSkip } from './world.ts';

const skip = kubectlSkip() ?? reasonToSkip() ?? false;
const NETWORK = {
  nodeCIDRs: ['172.30.0.0/24', 'fd00:172:30::/64'],
  podCIDRs: ['10.244.0.0/16', 'fd00:10:244::/56'],
  nodePrefixLengths: [24, 64],
  serviceCIDRs: ['10.96.0.0/16', 'fd00:10:96::/112'],
};
const SERVERS = ['10.96.0.10', 'fd00:10:96::a'];
/** One on each node. */
const ASKERS = ['busybox1', 'busybox2', 'dns-example'];
const DEFAULT = 'default.svc.cluster.local';

let machine: Machine;
let upstream: TestUpstream;
/** Name to all its addresses, of pods and Services. */
const ips = new Map<string, readonly string[]>();

const exec = (pod: string, ...words: string[]) => machine.kubectl('exec', pod, '--', ...words);
const lines = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .sort();

/** What a name is, as the pods of all nodes are told it by both addresses of DNS, in as few processes as can be. */
async function asked(name: string, type = 'A'): Promise<string[]> {
  const words = SERVERS.flatMap((server) => [`@${server}`, name, type]);
  const told = await Promise.all(ASKERS.map((pod) => exec(pod, 'dig', '+short', ...words)));
  const [first] = told.map((text) => lines(text));
  for (const text of told) assert.deepEqual(lines(text), first, name);
  const once = [...new Set(first)];
  assert.equal(first!.length, once.length * SERVERS.length, `${name}: the same over IPv4 and IPv6`);
  return once;
}

async function rcode(name: string, type = 'A'): Promise<string> {
  const text = await exec('busybox1', 'dig', name, type);
  return `${/status: (\w+)/.exec(text)?.[1]} ${/ANSWER: (\d+)/.exec(text)?.[1]}`;
}

const v4 = (name: string) => ips.get(name)!.filter((ip) => !ip.includes(':'));
const v6 = (name: string) => ips.get(name)!.filter((ip) => ip.includes(':'));

describe('DNS for Services and pods', { skip }, () => {
  before(async () => {
    machine = await Machine.create('dnsall');
    upstream = startUpstream(`/run/netns/${machine.netns}`, '127.0.0.9', 5399);
    const file = join(machine.state, 'config.json');
    writeFileSync(file, JSON.stringify({ network: NETWORK, dns: { upstreams: ['127.0.0.9#5399'] } }));
    await machine.mustPodwire('up', '--config', file);
    await machine.apply(MANIFESTS);
    const hosts = ['host-net', 'host-first', 'host-default', 'host-none'];
    const ready = ['busybox1', 'busybox2', 'dns-example', 'default-policy', 'kdc', ...hosts].map((pod) => `pod/${pod}`);
    await machine.kubectl('wait', '--for=condition=Ready', ...ready, '--timeout=120s');
    await until('the pod that is not ready has addresses', async () => {
      const text = await machine.kubectl('get', 'pod', 'unready', '-o', 'jsonpath={.status.podIPs[*].ip}');
      return text.includes(':');
    });
    interface Item {
      readonly metadata: { readonly name: string };
      readonly spec: { readonly clusterIPs?: readonly string[] };
      readonly status: { readonly podIPs?: readonly { readonly ip: string }[] };
    }
    const { items } = JSON.parse(await machine.kubectl('get', 'pods,services', '-o', 'json')) as { items: Item[] };
    for (const { metadata, spec, status } of items) {
      ips.set(metadata.name, spec.clusterIPs ?? (status.podIPs ?? []).map(({ ip }) => ip));
    }
    // The last of what each was given.
    for (const [name, count] of [
      ['busybox-subdomain', 2],
      ['published', 1],
      ['kerberos', 1],
      ['manual', 2],
    ] as const) {
      await until(`every node knows ${name}`, async () => (await asked(`${name}.${DEFAULT}`)).length === count);
    }
    await until('IPv6 too', async () => (await asked(`busybox-subdomain.${DEFAULT}`, 'AAAA')).length === 2);
  });
  after(async () => {
    upstream?.close();
    await machine?.[Symbol.asyncDispose]();
  });

  test('Services of both families, and of IPv6 alone', async () => {
    assert.deepEqual(await asked(`my-service.${DEFAULT}`), v4('my-service'));
    assert.deepEqual(await asked(`my-service.${DEFAULT}`, 'AAAA'), v6('my-service'));
    assert.deepEqual(await asked(`only-v6.${DEFAULT}`, 'AAAA'), v6('only-v6'));
    assert.equal(await rcode(`only-v6.${DEFAULT}`), 'NOERROR 0');
    assert.equal(await rcode(`nobody.${DEFAULT}`), 'NXDOMAIN 0');
    assert.equal(await rcode(DEFAULT), 'NOERROR 0');
  });

  test('named ports as SRV', async () => {
    assert.deepEqual(await asked(`_http._tcp.my-service.${DEFAULT}`, 'SRV'), [`0 100 80 my-service.${DEFAULT}.`]);
    assert.deepEqual(await asked(`_dns._udp.my-service.${DEFAULT}`, 'SRV'), [`0 100 53 my-service.${DEFAULT}.`]);
    assert.equal(await rcode(`_http._udp.my-service.${DEFAULT}`, 'SRV'), 'NXDOMAIN 0');
    assert.deepEqual(await asked(`_foo._tcp.busybox-subdomain.${DEFAULT}`, 'SRV'), [
      `0 100 1234 busybox-1.busybox-subdomain.${DEFAULT}.`,
      `0 100 1234 busybox-2.busybox-subdomain.${DEFAULT}.`,
    ]);
  });

  test('a headless Service is its pods, and each pod has its hostname below it', async () => {
    const service = `busybox-subdomain.${DEFAULT}`;
    assert.deepEqual(await asked(service), [...v4('busybox1'), ...v4('busybox2')].sort());
    assert.deepEqual(await asked(service, 'AAAA'), [...v6('busybox1'), ...v6('busybox2')].sort());
    for (const [pod, host] of [
      ['busybox1', 'busybox-1'],
      ['busybox2', 'busybox-2'],
    ] as const) {
      assert.deepEqual(await asked(`${host}.${service}`), v4(pod));
      assert.deepEqual(await asked(`${host}.${service}`, 'AAAA'), v6(pod));
    }
    assert.deepEqual(await asked(`first.manual.${DEFAULT}`), ['198.51.100.7']);
    assert.deepEqual(await asked(`198-51-100-8.manual.${DEFAULT}`), ['198.51.100.8']);
  });

  test('a pod knows itself by its names', async () => {
    assert.equal((await exec('busybox1', 'hostname')).trim(), 'busybox-1');
    assert.equal((await exec('busybox1', 'hostname', '-f')).trim(), `busybox-1.busybox-subdomain.${DEFAULT}`);
    assert.equal((await exec('busybox2', 'hostname')).trim(), `busybox-2.busybox-subdomain.${DEFAULT}`);
  });

  test('a hostname that overrides is how the pod knows itself; in DNS it is as its hostname and subdomain say', async () => {
    assert.equal((await exec('kdc', 'hostname')).trim(), 'kdc1.example.com');
    assert.equal((await exec('kdc', 'hostname', '-f')).trim(), 'kdc1.example.com');
    assert.deepEqual(await asked(`kdc-1.kerberos.${DEFAULT}`), v4('kdc'));
    assert.equal(await rcode('kdc1.example.com'), 'NXDOMAIN 0');
  });

  test('pods by their addresses', async () => {
    const [ip] = v4('busybox1');
    const [ip6] = v6('busybox1');
    assert.deepEqual(await asked(`${ip!.replaceAll('.', '-')}.default.pod.cluster.local`), [ip]);
    assert.deepEqual(await asked(`${ip6!.replaceAll(':', '-')}.default.pod.cluster.local`, 'AAAA'), [ip6]);
  });

  test('addresses to names, of Services and of pods', async () => {
    const pointers = async (ip: string) => lines(await exec('busybox2', 'dig', '+short', '-x', ip));
    for (const ip of ips.get('my-service')!) assert.deepEqual(await pointers(ip), [`my-service.${DEFAULT}.`]);
    for (const ip of ips.get('busybox1')!) {
      assert.deepEqual(await pointers(ip), [`busybox-1.busybox-subdomain.${DEFAULT}.`]);
    }
  });

  test('an ExternalName is an alias, followed outside and inside', async () => {
    assert.deepEqual(await asked(`external.${DEFAULT}`), ['192.0.2.10', 'web.test.', 'www.test.']);
    assert.deepEqual(await asked(`alias.${DEFAULT}`), [...v4('my-service'), `my-service.${DEFAULT}.`]);
    assert.deepEqual(await asked(`alias.${DEFAULT}`, 'CNAME'), [`my-service.${DEFAULT}.`]);
  });

  test('a pod that is not ready has a name where that is wished; readiness gives it one everywhere', async () => {
    assert.deepEqual(await asked(`published.${DEFAULT}`), v4('unready'));
    assert.equal(await rcode(`hidden.${DEFAULT}`), 'NXDOMAIN 0');
    await exec('unready', 'touch', '/tmp/ready');
    await until('it has a name on every node', async () => (await asked(`hidden.${DEFAULT}`)).length === 1);
    assert.deepEqual(await asked(`hidden.${DEFAULT}`), v4('unready'));
  });

  test('the version of the schema, and the zone itself', async () => {
    assert.deepEqual(await asked('dns-version.cluster.local', 'TXT'), ['"1.1.0"']);
    assert.deepEqual(await asked('cluster.local', 'NS'), ['ns.dns.cluster.local.']);
    assert.deepEqual(await asked('ns.dns.cluster.local'), [SERVERS[0]]);
    assert.deepEqual(await asked('ns.dns.cluster.local', 'AAAA'), [SERVERS[1]]);
  });

  test("dnsPolicy: all four, as each pod reads them, on a network of its own and on the node's", async () => {
    const node = SERVERS.map((ip) => `nameserver ${ip}\n`).join('');
    const cluster = `search ${DEFAULT} svc.cluster.local cluster.local\n${SERVERS.map((ip) => `nameserver ${ip}\n`).join('')}options ndots:5\n`;
    const expected = {
      busybox1: cluster,
      'host-net': cluster,
      'default-policy': node,
      // As kubelet has it: without WithHostNet a pod of the node's network asks as the node does.
      'host-first': node,
      'host-default': node,
      'host-none': 'search corp.example\nnameserver 192.0.2.1\n',
      'dns-example':
        'search ns1.svc.cluster-domain.example my.dns.search.suffix\nnameserver 192.0.2.1\noptions ndots:2 edns0\n',
    };
    for (const [pod, text] of Object.entries(expected)) assert.equal(await exec(pod, 'cat', '/etc/resolv.conf'), text);
    const resolved = async (pod: string, name: string) => (await exec(pod, 'getent', 'ahostsv4', name)).split(/\s/)[0];
    for (const pod of ['busybox1', 'host-net']) assert.equal(await resolved(pod, 'my-service'), v4('my-service')[0]);
    for (const pod of ['default-policy', 'host-first', 'host-default']) {
      assert.equal(await resolved(pod, 'www.test'), '192.0.2.10');
    }
  });

  test('dns trace tells what a lookup of a pod costs, and what would have cost less', async () => {
    const trace = async (...words: string[]) =>
      JSON.parse(await machine.mustPodwire('dns', 'trace', '-o', 'json', ...words));
    const outside = await trace('busybox1', 'www.test');
    assert.deepEqual(
      outside.queries.map(
        (each: { name: string; type: string; answer: string }) => `${each.name} ${each.type} ${each.answer}`,
      ),
      [DEFAULT, 'svc.cluster.local', 'cluster.local', '']
        .map((domain) => (domain ? `www.test.${domain}.` : 'www.test.'))
        .flatMap((name) =>
          ['A', 'AAAA'].map((type) => `${name} ${type} ${name === 'www.test.' ? 'NOERROR' : 'NXDOMAIN'}`),
        ),
    );
    assert.deepEqual([outside.better, outside.addresses], ['www.test.', ['192.0.2.10']]);
    const inside = await trace('busybox2', 'my-service');
    assert.deepEqual(
      [inside.queries.length, inside.better, inside.addresses.sort()],
      [2, undefined, ips.get('my-service')!.toSorted()],
    );
    const own = await trace('busybox1', 'busybox-1');
    assert.deepEqual([own.queries, own.hosts.length], [[], 2]);
    const text = await machine.mustPodwire('dns', 'trace', 'busybox1', 'www.test');
    assert.match(
      text,
      /8 queries, [\d.]+ ms\. www\.test\. \(with the dot at its end\) costs one query for each of A and AAAA\./,
    );
    const missing = await machine.podwire('dns', 'trace', 'nobody', 'www.test');
    assert.deepEqual([missing.code, missing.stderr.includes('there is no pod default/nobody')], [1, true]);
    const nowhere = await machine.podwire('dns', 'trace', 'host-net', 'nope.invalid.');
    assert.equal(nowhere.code, 2, nowhere.stdout);
  });

  test('no flow of DNS is tracked', async () => {
    await exec('busybox1', 'dig', '+short', `my-service.${DEFAULT}`);
    const flows = await machine.mustPodwire('node', 'exec', 'node-1', '--', 'conntrack', '-L', '-d', SERVERS[0]!);
    assert.equal(flows.trim(), '');
  });

  test('A and AAAA asked at one time, from one socket, are both answered, ever (kubernetes#56903)', async () => {
    // One that is lost is not asked for again, and then an address is missing.
    const script = 'for i in $(seq 50); do getent ahosts my-service | cut -d" " -f1 | sort -u; done';
    const told = await Promise.all(
      ASKERS.slice(0, 2).flatMap((pod) =>
        Array.from({ length: 3 }, () => exec(pod, 'env', 'RES_OPTIONS=attempts:1', 'sh', '-c', script)),
      ),
    );
    const each = new Map<string, number>();
    for (const line of told.flatMap(lines)) each.set(line, (each.get(line) ?? 0) + 1);
    assert.deepEqual(
      [...each].sort(),
      ips
        .get('my-service')!
        .map((ip) => [ip, 300])
        .sort(),
    );
  });

  test('a node without the API server answers what it knew last, and what is new when it is back', async () => {
    await machine.mustPodwire('node', 'isolate', 'node-2');
    await machine.kubectl('create', 'service', 'clusterip', 'meanwhile', '--tcp=80');
    const here = async (name: string) => lines(await exec('busybox2', 'dig', '+short', name));
    await until(
      'another node knows the new Service',
      async () => (await rcode(`meanwhile.${DEFAULT}`)) === 'NOERROR 1',
    );
    assert.deepEqual(await here(`my-service.${DEFAULT}`), v4('my-service'));
    assert.deepEqual(await here(`busybox-1.busybox-subdomain.${DEFAULT}`), v4('busybox1'));
    assert.deepEqual(await here(`meanwhile.${DEFAULT}`), []);
    await machine.mustPodwire('node', 'heal', 'node-2');
    await until('it knows the new Service', async () => (await here(`meanwhile.${DEFAULT}`)).length === 1);
  });

  test('what changes is answered at once', async () => {
    await machine.kubectl('create', 'service', 'clusterip', 'later', '--tcp=80');
    await until('the new Service has its name', async () => (await rcode(`later.${DEFAULT}`)) === 'NOERROR 1');
    await machine.kubectl('delete', 'service', 'later');
    await until('the name is gone', async () => (await rcode(`later.${DEFAULT}`)) === 'NXDOMAIN 0');
  });

  test('the servers tell what they did: metrics for Prometheus, from a pod and by the address of a node', async () => {
    for (const host of [SERVERS[0], '172.30.0.13', `[${SERVERS[1]}]`]) {
      assert.match(
        await exec('host-net', 'curl', '-s', `http://${host}:9153/metrics`),
        /^coredns_dns_requests_total\{/m,
      );
    }
    assert.equal(await exec('busybox1', 'curl', '-s', `http://${SERVERS[0]}:9153/ready`), 'OK');
  });

  test('podwire dns: what each node has done', async () => {
    const rows = JSON.parse(await machine.mustPodwire('dns', '-o', 'json'));
    for (const { node, dns } of rows) {
      assert.deepEqual([dns.synced, dns.upstreams[0].address], [true, '127.0.0.9#5399'], node);
      assert.ok(dns.queries.udp > 0 && dns.latency.p99 > 0, node);
    }
    assert.match(
      await machine.mustPodwire('dns'),
      /^node-1 +yes +\d+ +\d+ % +\d+ % +[\d.]+ ms +[\d.]+ ms +\d+ +\d+ % +127\.0\.0\.9#5399 answers$/m,
    );
  });

  test('a daemon that is killed and started again: the names are as they were', async () => {
    const file = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
    const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    await until('it has ended', async () => (await machine.podwire('status')).code === 3);
    await machine.mustPodwire('up');
    assert.deepEqual(await asked(`my-service.${DEFAULT}`), v4('my-service'));
    assert.deepEqual(await asked(`busybox-1.busybox-subdomain.${DEFAULT}`, 'AAAA'), v6('busybox1'));
    assert.deepEqual(await asked(`external.${DEFAULT}`), ['192.0.2.10', 'web.test.', 'www.test.']);
  });
});
