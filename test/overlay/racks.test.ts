// Two racks: ARP stays within one, CrossSubnet routes plainly inside and encapsulates between them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { clusterSkip, kubectlSkip, Machine } from '../cluster/machine.ts';
import { everyPodMeetsEvery, inside, nodeNetns, type OverlayPod, startCluster } from './overlay-cluster.ts';
import { switchAlong } from './stream.ts';

const skip = kubectlSkip() ?? clusterSkip() ?? false;
const NETWORK = {
  nodeCIDRs: ['172.30.82.0/24'],
  podCIDRs: ['10.182.0.0/16'],
  serviceCIDRs: ['10.82.0.0/16'],
  racks: 2,
  overlay: { backend: 'vxlan', directRouting: true },
  vxlan: { vni: 77, port: 4790 },
};

let machine: Machine;
let pods: OverlayPod[] = [];

before(async () => {
  if (skip) return;
  machine = await Machine.create('racks');
  // node-1 and node-3 are in the first rack, node-2 in the second.
  pods = await startCluster(machine, NETWORK, 3);
});

after(async () => {
  await machine?.[Symbol.asyncDispose]();
});

const inNode = (node: string, ...words: string[]) => inside(nodeNetns(machine, node), ...words);

test('nodes have addresses of their rack, and pods meet across racks', { skip }, async () => {
  const nodes = JSON.parse(await machine.kubectl('get', 'nodes', '-o', 'json')).items as {
    status: { addresses: { type: string; address: string }[] };
  }[];
  const addresses = nodes.map(({ status }) => status.addresses.find(({ type }) => type === 'InternalIP')!.address);
  assert.deepEqual(addresses.sort(), ['172.30.82.11', '172.30.82.12', '172.30.82.139']);
  await everyPodMeetsEvery(machine, pods);
});

test('with direct routes a rack is plainly routed, and only what goes to another is encapsulated', { skip }, () => {
  const route = (node: string, prefix: string) => inNode(node, 'ip', 'route', 'show', prefix);
  assert.match(route('node-1', '10.182.2.0/24'), /via 172\.30\.82\.12 dev eth0/);
  assert.match(route('node-1', '10.182.1.0/24'), /dev pw-vxlan/);
  assert.match(route('node-2', '10.182.0.0/24'), /dev pw-vxlan/);
});

test('the VXLAN device has the VNI and port of the config, learns nothing, and has no group policy extension', {
  skip,
}, () => {
  const links = JSON.parse(inNode('node-1', 'ip', '-d', '-j', 'link', 'show', 'pw-vxlan')) as {
    mtu: number;
    linkinfo: { info_kind: string; info_data: Record<string, unknown> };
  }[];
  const { mtu, linkinfo } = links[0]!;
  const { id, port, learning, local, gbp } = linkinfo.info_data;
  assert.deepEqual([mtu, linkinfo.info_kind, id, port, local], [1450, 'vxlan', 77, 4790, '172.30.82.11']);
  assert.equal(learning ?? false, false);
  assert.equal(gbp ?? false, false);
});

test('no node knows a MAC address of another rack, nor gets one when it asks', { skip }, async () => {
  inNode('node-1', 'ping', '-c1', '-W5', '172.30.82.139');
  const known = (node: string) => inNode(node, 'ip', 'neigh', 'show', 'dev', 'eth0');
  assert.doesNotMatch(known('node-1'), /172\.30\.82\.139/);
  assert.doesNotMatch(known('node-2'), /172\.30\.82\.1[12]\b/);
  inNode('node-1', 'ip', 'route', 'add', '172.30.82.139/32', 'dev', 'eth0');
  try {
    assert.throws(() => inNode('node-1', 'ping', '-c1', '-W3', '172.30.82.139'));
    assert.match(known('node-1'), /172\.30\.82\.139 .*(FAILED|INCOMPLETE)/);
  } finally {
    inNode('node-1', 'ip', 'route', 'del', '172.30.82.139/32', 'dev', 'eth0');
  }
});

test('the machine reaches pods of every rack', { skip }, async () => {
  for (const pod of pods) {
    const answer = await machine.must('curl', ['-sf', '--max-time', '10', `http://${pod.ips[0]}:8080/hostname`]);
    assert.equal(answer.trim(), pod.name);
  }
});

for (const words of [['none'], ['ipip'], ['ipip', '--direct-routing'], ['vxlan']]) {
  test(`overlay set ${words.join(' ')} across racks`, { skip }, async () => {
    await machine.mustPodwire('overlay', 'set', ...words);
    await everyPodMeetsEvery(machine, pods);
  });
}

test('overlay set between all pairs of backends: connections within a rack and between racks survive each', {
  skip,
}, async (t) => {
  const pod = (node: string) => pods.find((each) => each.node === node)!;
  const walk = ['ipip', 'none', 'udp', 'ipip', 'vxlan', 'none', 'ipip', 'udp', 'none', 'vxlan', 'udp', 'vxlan'];
  await switchAlong(
    t,
    machine,
    [...walk, 'ipip --direct-routing', 'vxlan --direct-routing', 'vxlan'],
    [
      { from: pod('node-1'), to: pod('node-2'), ip: pod('node-2').ips[0]! },
      { from: pod('node-1'), to: pod('node-3'), ip: pod('node-3').ips[0]! },
    ],
  );
});

test('host-gw is refused where a router stands between', { skip }, async () => {
  const refused = await machine.podwire('overlay', 'set', 'host-gw');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /host-gw needs all nodes on one segment/);
});
