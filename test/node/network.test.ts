// Packets between pods of two nodes over the real kernel: routed pods, VXLAN, fabric, and nothing left behind.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { ensureFabric, listenInFabric, removeFabric } from '../../src/cluster/fabric.ts';
import { podLinkName } from '../../src/plan/pods.ts';
import { isPinned, NETNS_DIR, netnsPath, removeNamespace } from '../../src/sys/netns.ts';
import { ClusterNet, connect, disconnect, serveIn, talk } from './cluster-net.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';

const NODES = [
  { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/24'] },
  { name: 'node-2', ips: ['172.30.0.12'], podCIDRs: ['10.244.1.0/24'] },
];

function clusterNet(role: string): ClusterNet {
  return new ClusterNet(`t${process.pid}${role}`, NODES);
}

function ip(netns: string, ...args: string[]) {
  return JSON.parse(
    execFileSync('ip', ['-n', netns.slice(NETNS_DIR.length + 1), '-j', '-d', ...args], { encoding: 'utf8' }),
  );
}

test('pods reach each other under their own addresses, on one node and across nodes', { skip }, async () => {
  using net = clusterNet('a');
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const pods = [net.addPod(one, 'a1'), net.addPod(one, 'a2'), net.addPod(two, 'b1')];
  assert.deepEqual(
    pods.map((pod) => pod.ip),
    ['10.244.0.1', '10.244.0.2', '10.244.1.1'],
  );
  for (const server of pods) {
    await using echo = await serveIn(server.netns, server.ip);
    for (const client of pods) {
      const [seen] = await talk(client.netns, server.ip, echo.port);
      assert.equal(seen, client.ip);
    }
    // From the machine, and from each node itself: under the address that they have on the fabric.
    assert.equal((await talk(net.host, server.ip, echo.port))[0], '172.30.0.1');
    for (const node of net.nodes) assert.equal((await talk(node.netns, server.ip, echo.port))[0], node.ips[0]);
  }
});

test('a dual-stack cluster does the same over IPv6', { skip }, async () => {
  const dual = NODES.map((node, i) => ({
    ...node,
    ips: [...node.ips, `fd00:172:30::1${i + 1}`],
    podCIDRs: [...node.podCIDRs, `fd00:10:244:${i}::/64`],
  }));
  using net = new ClusterNet(`t${process.pid}s`, dual);
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const pods = [net.addPod(one, 'a1'), net.addPod(one, 'a2'), net.addPod(two, 'b1')];
  for (const server of pods) {
    const ip6 = server.ips[1]!;
    await using echo = await serveIn(server.netns, ip6);
    for (const client of pods) assert.equal((await talk(client.netns, ip6, echo.port))[0], client.ips[1]);
    assert.equal((await talk(net.host, ip6, echo.port))[0], 'fd00:172:30::1');
    for (const node of net.nodes) assert.equal((await talk(node.netns, ip6, echo.port))[0], node.ips[1]);
  }
});

test('large packets pass between nodes: the pods know what the overlay takes', { skip }, async () => {
  using net = clusterNet('b');
  const [from, to] = [net.addPod(net.nodes[0]!, 'a1'), net.addPod(net.nodes[1]!, 'b1')];
  const [link] = ip(from.netns, 'link', 'show', 'eth0');
  assert.equal(link.mtu, 1450);
  await using echo = await serveIn(to.netns, to.ip);
  const payload = 'x'.repeat(1_000_000);
  const [, echoed] = await talk(from.netns, to.ip, echo.port, payload);
  assert.equal(echoed.length, payload.length);
});

test('a node that leaves takes its route, neighbour and forwarding entry along, and traffic comes back with it', {
  skip,
}, async () => {
  using net = clusterNet('c');
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  const ways = () => ({
    routes: ip(one.netns, 'route', 'show', 'dev', 'pw-vxlan').length,
    neighbours: ip(one.netns, 'neigh', 'show', 'dev', 'pw-vxlan').length,
    fdb: JSON.parse(
      execFileSync('nsenter', [`--net=${one.netns}`, 'bridge', '-j', 'fdb', 'show', 'dev', 'pw-vxlan'], {
        encoding: 'utf8',
      }),
    ).length,
  });
  assert.deepEqual(ways(), { routes: 1, neighbours: 1, fdb: 1 });
  disconnect(one, two);
  assert.deepEqual(ways(), { routes: 0, neighbours: 0, fdb: 0 });
  connect(one, two);
  await using echo = await serveIn(to.netns, to.ip);
  assert.equal((await talk(from.netns, to.ip, echo.port))[0], from.ip);
});

test('a detached pod leaves nothing on its node, and a pod that comes again is wired again', { skip }, async () => {
  using net = clusterNet('d');
  const node = net.nodes[0]!;
  const before = JSON.stringify(node.kernel.read());
  const pod = net.addPod(node, 'a1');
  assert.notEqual(JSON.stringify(node.kernel.read()), before);
  node.network.detach(pod.sandboxId);
  assert.equal(JSON.stringify(node.kernel.read()), before);
  const again = net.attach(node, 'a1');
  assert.notEqual(again.ip, pod.ip);
  await using echo = await serveIn(again.netns, again.ip);
  assert.equal((await talk(node.netns, again.ip, echo.port))[0], '172.30.0.11');
});

test('a pod whose namespace was made anew under the same path is wired anew with its address', { skip }, async () => {
  using net = clusterNet('e');
  const node = net.nodes[0]!;
  const pod = net.addPod(node, 'a1');
  removeNamespace(pod.netns);
  const again = net.addPod(node, 'a1');
  assert.equal(again.ip, pod.ip);
  await using echo = await serveIn(again.netns, again.ip);
  assert.equal((await talk(node.netns, again.ip, echo.port))[0], '172.30.0.11');
});

test('a restarted agent adopts its pods: same address, same device, open connections live', { skip }, async () => {
  using net = clusterNet('f');
  const node = net.nodes[0]!;
  const pod = net.addPod(node, 'a1');
  net.addPod(node, 'a2');
  const index = () => ip(node.netns, 'link', 'show', podLinkName('a1'))[0].ifindex;
  const before = index();
  const restarted = net.startNode(NODES[0]!);
  assert.equal(net.attach(restarted, 'a1').ip, pod.ip);
  connect(restarted, NODES[1]!);
  restarted.network.retain(new Set(['a1']));
  const repaired = await restarted.reconciler.repair();
  assert.equal(index(), before);
  assert.deepEqual(
    repaired.filter((line) => !line.includes(podLinkName('a2'))),
    [],
  );
  assert.equal(repaired.length > 0, true);
  assert.deepEqual(await restarted.reconciler.repair(), []);
  restarted.reconciler.close();
  restarted.kernel.close();
});

test('the fabric is made twice alike, tells pods of the API server, and catches what has no way', {
  skip,
}, async () => {
  using net = clusterNet('g');
  const links = () =>
    ip(net.host, 'link').map((link: { ifindex: number; ifname: string }) => [link.ifindex, link.ifname]);
  const before = links();
  ensureFabric(net.fabric);
  assert.deepEqual(links(), before);
  const routes = ip(net.host, 'route').map((route: { type: string; dst: string }) => `${route.type} ${route.dst}`);
  assert.deepEqual(routes.toSorted(), [
    'unicast 10.244.0.0/24',
    'unicast 10.244.1.0/24',
    'unicast 10.96.0.0/16',
    'unicast 172.30.0.0/24',
    'unreachable 10.244.0.0/16',
    'unreachable 10.96.0.0/16',
    'unreachable 172.30.0.0/24',
  ]);
  await assert.rejects(talk(net.host, '10.244.9.9', 80), { code: 'EHOSTUNREACH' });

  const { createServer } = await import('node:net');
  const server = createServer((socket) => socket.resume().end(`${socket.remoteAddress}\nping`));
  await new Promise<void>((resolve) => server.listen({ fd: listenInFabric(net.name, '172.30.0.2', 6443) }, resolve));
  const pod = net.addPod(net.nodes[1]!, 'b1');
  try {
    for (const netns of [net.host, net.nodes[0]!.netns, pod.netns]) await talk(netns, '172.30.0.2', 6443);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test('a removed fabric leaves nothing, and removing it again succeeds', { skip }, () => {
  const name = `t${process.pid}h`;
  {
    using net = new ClusterNet(name, NODES);
    net.addPod(net.nodes[0]!, 'a1');
    removeFabric(name, net.host);
    assert.deepEqual(ip(net.host, 'route'), []);
    assert.deepEqual(
      ip(net.host, 'link')
        .map((link: { ifname: string }) => link.ifname)
        .filter((each: string) => each.startsWith('pw')),
      [],
    );
    removeFabric(name, net.host);
  }
  assert.equal(isPinned(netnsPath(`pw-${name}-fabric`)), false);
  assert.deepEqual(
    readdirSync(NETNS_DIR).filter((each) => each.includes(name)),
    [],
  );
});
