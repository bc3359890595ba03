// A config file in which every field differs from its default: each is seen in the cluster, by what the kernel, dig and kubectl say.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findProgram } from '../../src/cluster/programs.ts';
import { startUpstream, type TestUpstream } from '../dns/upstream.ts';
import { kubectlSkip, Machine, PODWIRE, until } from './machine.ts';

const skip = kubectlSkip() ?? (findProgram('dig') ? false : 'dig is not installed');
const CONFIG = (name: string) => ({
  name,
  nodes: 2,
  domain: 'shop.internal',
  network: {
    nodeCIDRs: ['192.0.2.0/25'],
    podCIDRs: ['10.150.0.0/16'],
    nodePrefixLengths: [26],
    serviceCIDRs: ['10.160.0.0/20'],
    nodePortRange: [31000, 31001],
    mtu: 1400,
    vxlan: { vni: 77, port: 4790 },
  },
  dns: {
    upstreams: ['127.0.0.9#5399'],
    stubDomains: { 'corp.example': ['127.0.0.8#5398'] },
    hosts: { 'static.example': ['192.0.2.7'] },
    rewrites: { 'old.example': 'kubernetes.default.svc.shop.internal' },
    autopath: true,
    queryLog: true,
    metricsPort: 9253,
    cache: { size: 100, maxTTL: 7, maxNegativeTTL: 5, prefetch: false, staleFor: 0 },
  },
  api: { port: 7446 },
});
const SERVICES = ['one', 'two', 'three'].map((name) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { type: 'NodePort', selector: { app: name }, ports: [{ port: 80 }] },
}));
const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'one', labels: { app: 'one' } },
  spec: {
    nodeName: 'node-2',
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'web', image: 'podwire.io/agnhost', args: ['netexec', '--http-port=80'] }],
  },
};

let machine: Machine;
let upstream: TestUpstream;
let stub: TestUpstream;
let cluster: string;

describe('a config file', { skip }, () => {
  before(async () => {
    machine = await Machine.create('conf');
    upstream = startUpstream(`/run/netns/${machine.netns}`, '127.0.0.9', 5399);
    stub = startUpstream(`/run/netns/${machine.netns}`, '127.0.0.8', 5398);
    // The name comes from the file, which is not what the environment says.
    cluster = `${machine.cluster}c`;
    const file = join(machine.state, 'config.json');
    writeFileSync(file, JSON.stringify(CONFIG(cluster)));
    await machine.must('env', ['-u', 'PODWIRE_CLUSTER', PODWIRE, 'up', '--config', file]);
  });
  after(async () => {
    upstream.close();
    stub.close();
    await machine[Symbol.asyncDispose]();
  });

  const kubectl = (...words: string[]) => {
    const kubeconfig = join(machine.state, 'clusters', cluster, 'kubeconfig');
    return machine.must('kubectl', ['--kubeconfig', kubeconfig, ...words]);
  };
  const onNode = (node: string, ...words: string[]) =>
    machine.mustPodwire('node', 'exec', '--name', cluster, node, '--', ...words);
  const dig = async (...words: string[]) => (await onNode('node-1', 'dig', '+short', '@10.160.0.10', ...words)).trim();

  test('names the cluster, its nodes and their addresses, and the port of the API server', async () => {
    const { name, nodes } = JSON.parse(await machine.mustPodwire('status', '-o', 'json', '--name', cluster));
    assert.equal(name, cluster);
    assert.deepEqual(
      nodes.map((node: { ips: string[]; podCIDRs: string[] }) => [node.ips, node.podCIDRs]),
      [
        [['192.0.2.11'], ['10.150.0.0/26']],
        [['192.0.2.12'], ['10.150.0.64/26']],
      ],
    );
    assert.match(await kubectl('cluster-info'), /https:\/\/127\.0\.0\.1:7446/);
  });

  test('sets the MTU of fabric and overlay, and the VXLAN network and port', async () => {
    const [eth0] = JSON.parse(await onNode('node-1', 'ip', '-j', 'link', 'show', 'eth0'));
    const [vxlan] = JSON.parse(await onNode('node-1', 'ip', '-j', '-d', 'link', 'show', 'pw-vxlan'));
    assert.equal(eth0.mtu, 1400);
    assert.equal(vxlan.mtu, 1350);
    assert.equal(vxlan.linkinfo.info_data.id, 77);
    assert.equal(vxlan.linkinfo.info_data.port, 4790);
  });

  test('sets the domain of Services and the range of their addresses', async () => {
    assert.equal(await dig('kubernetes.default.svc.shop.internal'), '10.160.0.1');
    assert.equal(await dig('kubernetes.default.svc.cluster.local'), '');
  });

  test('sets the resolvers of all other names, which the machine reaches', async () => {
    assert.deepEqual((await dig('www.test')).split('\n'), ['web.test.', '192.0.2.10']);
    assert.ok(upstream.asked.get('www.test')! > 0);
  });

  test('sets what DNS answers by itself, of whom it asks for a domain, and how long it believes what it is told', async () => {
    assert.equal(await dig('static.example'), '192.0.2.7');
    assert.equal(await dig('old.example'), '10.160.0.1');
    assert.equal(await dig('db.corp.example'), '192.0.2.14');
    assert.deepEqual([stub.asked.get('db.corp.example'), upstream.asked.get('db.corp.example')], [1, undefined]);
    // The upstream resolver itself says 60.
    const ttl = Number(/\s(\d+)\s+IN/.exec(await dig('+noshort', '+noall', '+answer', 'www.test'))?.[1]);
    assert.ok(ttl > 0 && ttl <= 7, String(ttl));
    const metrics = await onNode('node-1', 'curl', '-s', 'http://10.160.0.10:9253/metrics');
    assert.match(metrics, /^coredns_hosts_entries 1$/m);
    assert.match(
      readFileSync(join(machine.state, 'clusters', cluster, 'daemon.log'), 'utf8'),
      /"name":"static.example".*"msg":"query"/,
    );
  });

  test('sets the range of NodePorts, and a Service that finds none is refused', async () => {
    for (const service of SERVICES.slice(0, 2)) await apply(service);
    const { items } = JSON.parse(await kubectl('get', 'services', '-o', 'json'));
    const ports = items.flatMap((service: { spec: { ports: { nodePort?: number }[] } }) =>
      service.spec.ports.flatMap(({ nodePort }) => nodePort ?? []),
    );
    assert.deepEqual(ports.sort(), [31000, 31001]);
    await assert.rejects(apply(SERVICES[2]!), /range is full|no free port|nodePort/i);
  });

  test('is what a pod sees: its address, its MTU, its resolv.conf, its Service', async () => {
    await apply(POD);
    await kubectl('wait', '--for=condition=Ready', 'pod/one', '--timeout=120s');
    const inPod = (...words: string[]) => kubectl('exec', 'one', '--', ...words);
    const [eth0] = JSON.parse(await inPod('ip', '-j', 'addr', 'show', 'eth0'));
    assert.equal(eth0.mtu, 1350);
    assert.match(eth0.addr_info[0].local, /^10\.150\.0\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])$/);
    const resolvConf = await inPod('cat', '/etc/resolv.conf');
    assert.match(resolvConf, /^nameserver 10\.160\.0\.10$/m);
    assert.match(resolvConf, /^search default\.svc\.shop\.internal svc\.shop\.internal shop\.internal/m);
    await until('the search list of the pod is walked for it', async () => {
      const answer = await inPod('dig', '+short', 'www.test.default.svc.shop.internal');
      return answer === 'www.test.\nweb.test.\n192.0.2.10\n';
    });
    const trace = JSON.parse(
      await machine.mustPodwire('dns', 'trace', '--name', cluster, '-o', 'json', 'one', 'www.test'),
    );
    const path = 'www.test.default.svc.shop.internal.';
    assert.deepEqual(
      trace.queries.map(({ name, type }: { name: string; type: string }) => `${name} ${type}`),
      [`${path} A`, `${path} AAAA`],
    );
    assert.deepEqual([trace.addresses, trace.better], [['192.0.2.10'], undefined]);
    await until(
      'the Service answers by name',
      async () => (await inPod('curl', '-s', 'http://one/hostname')) === 'one',
    );
  });

  async function apply(object: object): Promise<string> {
    const kubeconfig = join(machine.state, 'clusters', cluster, 'kubeconfig');
    return machine.must('kubectl', ['--kubeconfig', kubeconfig, 'create', '-f', '-'], JSON.stringify(object));
  }
});
