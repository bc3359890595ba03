// One dual-stack cluster goes through every backend while its pods talk; then what is deleted by hand on it comes back.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { clusterSkip, kubectlSkip, Machine, until } from '../cluster/machine.ts';
import {
  everyPodMeetsEvery,
  fitsExactly,
  inside,
  logged,
  nodeNetns,
  type OverlayPod,
  startCluster,
  whoSees,
} from './overlay-cluster.ts';
import { startStream, switchAlong } from './stream.ts';

const skip = kubectlSkip() ?? clusterSkip() ?? false;
const NETWORK = {
  nodeCIDRs: ['172.30.81.0/24', 'fd00:172:30:81::/64'],
  podCIDRs: ['10.181.0.0/16', 'fd00:10:181::/56'],
  nodePrefixLengths: [24, 64],
  serviceCIDRs: ['10.81.0.0/16', 'fd00:10:81::/112'],
};

let machine: Machine;
let pods: OverlayPod[] = [];

before(async () => {
  if (skip) return;
  machine = await Machine.create('ovl');
  pods = await startCluster(machine, NETWORK, 3);
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

const on = (node: string) => pods.find((pod) => pod.node === node)!;
const leftOver = (node: string, name: string) =>
  inside(nodeNetns(machine, node), 'ip', '-o', 'link').includes(`${name}:`);

/** Two streams, one of each family, go on before and after the change, with not a byte or an error too many. */
async function survive(
  from: OverlayPod,
  to: OverlayPod,
  change: (received: () => number) => Promise<void>,
): Promise<void> {
  await using four = await startStream(from, to, to.ips[0]!);
  await using six = await startStream(from, to, to.ips[1]!);
  await Promise.all([four.goesOn(1 << 20), six.goesOn(1 << 20)]);
  await change(four.received);
  await Promise.all([four.goesOn(4 << 20), six.goesOn(4 << 20)]);
}

test('vxlan: every pod reaches every pod under its own address, of either family', { skip }, async () => {
  assert.deepEqual(
    pods.map((pod) => pod.ips.length),
    [2, 2, 2, 2, 2, 2],
  );
  await everyPodMeetsEvery(machine, pods);
  fitsExactly(on('node-1'), on('node-2'), 1450);
});

for (const [backend, mtu] of [
  ['host-gw', 1500],
  ['none', 1500],
  ['udp', 1472],
  ['vxlan', 1450],
] as const) {
  const lacking = backend === 'udp' && !existsSync('/dev/net/tun') ? 'there is no /dev/net/tun' : skip;
  test(`overlay set ${backend}: connections of either family survive, and all pods meet over it`, {
    skip: lacking,
  }, async (t) => {
    const [from, to] = [on('node-1'), on('node-2')];
    await survive(from, to, async (received) => {
      const before = received();
      assert.match(await machine.mustPodwire('overlay', 'set', backend), new RegExp(`now uses ${backend}\\.`));
      t.diagnostic(`${received() - before} bytes came back while it was changed`);
    });
    assert.equal((await machine.mustPodwire('overlay', 'show')).trim(), backend);
    assert.equal(leftOver('node-1', 'pw-vxlan'), backend === 'vxlan');
    await everyPodMeetsEvery(machine, pods);
    fitsExactly(from, to, mtu);
  });
}

test('overlay set between all other pairs of backends: the same two connections survive each', { skip }, async (t) => {
  // Each way that the tests above have not gone, once.
  const walk = ['none', 'host-gw', 'udp', 'none', 'vxlan', 'udp', 'host-gw', 'vxlan'];
  await switchAlong(t, machine, walk, [
    { from: on('node-1'), to: on('node-2'), ip: on('node-2').ips[0]! },
    { from: on('node-3'), to: on('node-1'), ip: on('node-1').ips[1]! },
  ]);
});

test('overlay set of what the cluster cannot have changes nothing and says why', { skip }, async () => {
  const ipip = await machine.podwire('overlay', 'set', 'ipip');
  assert.equal(ipip.code, 1);
  assert.match(ipip.stderr, /^podwire: ipip cannot carry IPv6 pods over IPv4 nodes\. .*vxlan.*\n$/i);
  const other = await machine.podwire('overlay', 'set', 'geneve');
  assert.equal(other.code, 2);
  assert.match(other.stderr, /there is no overlay "geneve"; there are vxlan, host-gw/);
  assert.equal((await machine.mustPodwire('overlay', 'show')).trim(), 'vxlan');
});

test('a dual-stack Service answers under both of its addresses and by name', { skip }, async () => {
  const spec = {
    ipFamilyPolicy: 'RequireDualStack',
    selector: { app: 'echo' },
    ports: [{ port: 80, targetPort: 8080 }],
  };
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'echo', namespace: 'default' }, spec };
  await machine.apply(JSON.stringify(service));
  const { clusterIPs } = JSON.parse(await machine.kubectl('get', 'service', 'echo', '-o', 'json')).spec as {
    clusterIPs: string[];
  };
  assert.equal(clusterIPs.length, 2);
  const curl = (family: string, host: string) =>
    machine.kubectl('exec', on('node-1').name, '--', 'curl', '-sf', family, '-m10', '-g', `http://${host}/hostname`);
  for (const [family, host] of [
    ['-4', clusterIPs[0]!],
    ['-6', `[${clusterIPs[1]}]`],
    ['-4', 'echo'],
    ['-6', 'echo'],
  ] as const) {
    const answer = await until(`${host} answers over ${family}`, () => curl(family, host));
    assert.ok(pods.some((pod) => pod.name === answer.trim()));
  }
});

test('what is deleted by hand on a live node comes back, and the log says what it was', { skip }, async () => {
  const node = nodeNetns(machine, 'node-1');
  inside(node, 'ip', 'link', 'del', 'pw-vxlan');
  await logged(machine, /repaired.*added link pw-vxlan/);
  await whoSees(machine, on('node-1'), on('node-2'), 'http');
  inside(node, 'nft', 'flush', 'ruleset');
  await logged(machine, /repaired.*added table ip podwire/);
  await machine.must('ip', ['route', 'del', '10.181.1.0/24']);
  await logged(machine, /repaired.*route 10\.181\.1\.0\/24.*of the fabric is repaired/);
});
