// A cluster that has no IPv4 at all: pods, Services of every form that single-stack IPv6 has, names, and what is refused there.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Machine, until } from '../cluster/machine.ts';
import { worldSkip } from './cluster-world.ts';

const NETWORK = {
  nodeCIDRs: ['fd00:172:30::/64'],
  podCIDRs: ['fd00:10:244::/56'],
  nodePrefixLengths: [64],
  serviceCIDRs: ['fd00:10:96::/112'],
};

const pod = (name: string, nodeName: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: name } },
  spec: {
    nodeName,
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'c',
        image: 'podwire.io/agnhost',
        args: ['netexec', '--http-port=9376', '--udp-port=9377'],
        readinessProbe: { httpGet: { path: '/healthz', port: 9376 }, periodSeconds: 1 },
      },
    ],
  },
});
const service = (name: string, spec: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 9376 }], ...spec },
});

describe('a cluster of IPv6 alone', { skip: worldSkip() ?? false }, () => {
  let machine: Machine;
  const sh = async (line: string) =>
    (await machine.run('kubectl', ['exec', 'client', '--', 'sh', '-c', line])).stdout.trim();
  const addressOf = (name: string, path = '.spec.clusterIP') =>
    machine.kubectl('get', 'service', name, '-o', `jsonpath={${path}}`);
  const ask = (from: 'client' | 'machine', url: string) => {
    const curl = `curl -sg --max-time 20 ${url}/hostname || echo "exit $?"`;
    return from === 'client' ? sh(curl) : machine.run('sh', ['-c', curl]).then(({ stdout }) => stdout.trim());
  };

  before(async () => {
    machine = await Machine.create('sixonly');
    const file = join(machine.state, 'config.json');
    writeFileSync(file, JSON.stringify({ network: NETWORK }));
    await machine.mustPodwire('up', '--nodes', '2', '--config', file);
    const objects = [
      pod('web', 'node-1'),
      pod('client', 'node-2'),
      service('web', {}),
      service('node-port', { type: 'NodePort', ports: [{ port: 80, targetPort: 9376, nodePort: 30007 }] }),
      service('balanced', { type: 'LoadBalancer' }),
      service('headless', { clusterIP: 'None' }),
      service('prefer', { ipFamilyPolicy: 'PreferDualStack' }),
    ];
    await machine.apply(objects.map((object) => JSON.stringify(object)).join('\n'));
    await machine.kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=120s');
  });
  after(() => machine?.[Symbol.asyncDispose]());

  test('ClusterIP, NodePort and LoadBalancer answer pods and the machine', async () => {
    const balanced = await until('an address', () => addressOf('balanced', '.status.loadBalancer.ingress[0].ip'));
    const nodes = await machine.kubectl(
      'get',
      'nodes',
      '-o',
      'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}',
    );
    assert.match(nodes, /^fd00:172:30::b fd00:172:30::c$/);
    const urls = [
      `http://[${await addressOf('web')}]`,
      `http://[${await addressOf('prefer')}]`,
      `http://[${balanced}]`,
      ...nodes.split(' ').map((ip) => `http://[${ip}]:30007`),
    ];
    for (const url of urls) {
      for (const from of ['client', 'machine'] as const) {
        await until(`${url} from ${from}`, async () => (await ask(from, url)) === 'web');
      }
    }
  });

  test('names have AAAA records alone, and lead there', async () => {
    const [web, podIP] = [
      await addressOf('web'),
      await machine.kubectl('get', 'pod', 'web', '-o', 'jsonpath={.status.podIP}'),
    ];
    assert.match(podIP, /^fd00:10:244:/);
    assert.equal(await sh('dig +search +short web AAAA'), web);
    assert.equal(await sh('dig +search +short headless AAAA'), podIP);
    assert.equal(await sh('dig +search +short web A'), '');
    assert.equal(await sh(`dig +short -x ${web}`), 'web.default.svc.cluster.local.');
    assert.equal(await ask('client', 'http://web'), 'web');
    assert.equal(await sh('cat /etc/resolv.conf | grep nameserver'), 'nameserver fd00:10:96::a');
  });

  test('what needs IPv4 is refused as Kubernetes words it', async () => {
    const refused = async (name: string, spec: object) =>
      (await machine.run('kubectl', ['apply', '-f', '-'], JSON.stringify(service(name, spec)))).stderr;
    assert.match(
      await refused('a', { ipFamilies: ['IPv4'] }),
      /spec\.ipFamilies\[0\]: Invalid value: "IPv4": not configured on this cluster/,
    );
    assert.match(
      await refused('b', { ipFamilyPolicy: 'RequireDualStack' }),
      /spec\.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services/,
    );
    assert.match(await refused('c', { clusterIP: '10.96.0.9' }), /spec\.clusterIPs/);
  });
});
