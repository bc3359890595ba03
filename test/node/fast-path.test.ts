// The eBPF fast path: known flows between pods pass no node's stack; whatever needs the node's rules still meets them.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { NODE_LEG } from '../../src/cluster/fabric.ts';
import { supportsIpipByEbpf } from '../../src/kernel/ipip-tunnels.ts';
import { watchDrift } from '../../src/node/drift.ts';
import type { OverlaySettings } from '../../src/plan/overlay/backend.ts';
import { podLinkName } from '../../src/plan/pods.ts';
import { until } from '../cluster/machine.ts';
import { serveIn, type TestNode, type TestPod } from './cluster-net.ts';
import { bulk, count, Datagrams, FEW, Flow, fastNet, run, skip } from './fast-net.ts';

test('pods of one node: a flow begins and ends in the node’s sight, and all between passes it by', {
  skip,
}, async () => {
  using net = fastNet('f');
  const [node] = net.nodes as [TestNode];
  const [from, to] = [net.addPod(node, 'a1'), net.addPod(node, 'a2')];
  const forwarded = count(node);
  for (const family of [0, 1] as const) {
    const before = forwarded();
    await bulk(from, to, family);
    const seen = forwarded() - before;
    assert.ok(seen >= 3 && seen < FEW, `${seen} packets of IPv${family === 0 ? 4 : 6}`);
  }
  await until(
    'what has ended is kept for minutes, not for days',
    async () => !/ESTABLISHED/.test(run(node, 'conntrack -L')),
  );
});

const OVERLAYS: readonly OverlaySettings[] = [
  { backend: 'host-gw', directRouting: false },
  { backend: 'vxlan', directRouting: false },
  { backend: 'ipip', directRouting: false, datapath: 'ebpf' },
];
for (const overlay of OVERLAYS) {
  const lacking =
    overlay.datapath && !skip && !supportsIpipByEbpf() ? 'this kernel does not take the eBPF programs' : skip;
  test(`pods of two nodes over ${overlay.backend}: both nodes are passed by`, { skip: lacking }, async () => {
    using net = fastNet(overlay.backend[0]!, { overlay });
    const [one, two] = net.nodes as [TestNode, TestNode];
    const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
    const counters = [count(one), count(two)];
    for (const family of overlay.backend === 'ipip' ? ([0] as const) : ([0, 1] as const)) {
      const before = counters.map((forwarded) => forwarded());
      await bulk(from, to, family);
      const seen = counters.map((forwarded, i) => forwarded() - before[i]!);
      assert.ok(
        seen.every((packets) => packets >= 3 && packets < FEW),
        `${seen} packets of IPv${family === 0 ? 4 : 6}`,
      );
    }
  });
}

test('a translated flow is translated back, also beside a direct one from the same port', { skip }, async () => {
  using net = fastNet('n');
  const [node] = net.nodes as [TestNode];
  const [from, to] = [net.addPod(node, 'a1'), net.addPod(node, 'a2')];
  await using echo = await serveIn(to.netns, to.ip);
  const pre = `type nat hook prerouting priority -100; ip daddr 10.96.7.7 tcp dport 80 dnat to ${to.ip}:${echo.port};`;
  const post = 'type nat hook postrouting priority 100;';
  run(node, 'nft -f -', `table ip nat {\n chain pre { ${pre}\n }\n chain post { ${post}\n }\n}\n`);
  const service: readonly [string, number] = ['10.96.7.7', 80];
  const direct: readonly [string, number] = [to.ip, echo.port];
  for (const [one, other] of [
    [service, direct],
    [direct, service],
  ] as const) {
    using first = new Flow(from, ...one);
    assert.equal(await first.seen(), from.ip);
    await first.talk();
    // The endpoint would see the same addresses and ports twice: the node gives the second flow another port.
    using second = new Flow(from, ...other);
    assert.equal(await second.seen(), from.ip);
    await second.talk();
    await first.talk();
  }
});

test('a flow whose entry in connection tracking is deleted meets the rules again', { skip }, async () => {
  using net = fastNet('c');
  const [node] = net.nodes as [TestNode];
  const [from, to] = [net.addPod(node, 'a1'), net.addPod(node, 'a2')];
  const forwarded = count(node);
  await using echo = await serveIn(to.netns, to.ip);
  using flow = new Flow(from, to.ip, echo.port);
  assert.equal(await flow.seen(), from.ip);
  await flow.talk();
  const rules = 'ct state established accept\n meta l4proto tcp counter drop\n';
  const chain = `chain late {\n type filter hook forward priority 10\n ${rules} }`;
  run(node, 'nft -f -', `table inet late {\n${chain}\n}\n`);
  const refused = () => Number(/counter packets (\d+)/.exec(run(node, 'nft list chain inet late late'))![1]);
  const before = forwarded();
  for (let i = 0; i < 10; i++) await flow.talk();
  assert.equal(refused(), 0);
  assert.ok(forwarded() - before < FEW, 'what is known goes on');
  run(node, `conntrack -D -s ${from.ip} -d ${to.ip}`);
  flow.send();
  await until('it is refused', async () => refused() > 0);
  assert.equal(flow.received, 0);
  // Else its end were refused too, and the server would wait for it.
  run(node, 'nft delete table inet late');
});

test('connection tracking does not forget a flow that goes past it', { skip }, async () => {
  using net = fastNet('k');
  const [one, two] = net.nodes as [TestNode, TestNode];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  for (const node of [one, two]) count(node);
  await using echo = await serveIn(to.netns, to.ip);
  using flow = new Flow(from, to.ip, echo.port);
  assert.equal(await flow.seen(), from.ip);
  await using datagrams = new Datagrams(from, to);
  await datagrams.exchange();
  for (const [protocol, exchange] of [
    ['tcp', () => flow.talk()],
    ['udp', () => datagrams.exchange()],
  ] as const) {
    await exchange();
    for (const node of [one, two]) {
      run(node, `conntrack -U -p ${protocol} -s ${from.ip} -d ${to.ip} --timeout 10`);
      await until(`${node.name} keeps ${protocol}`, async () => {
        await exchange();
        const entry = run(node, `conntrack -L -p ${protocol} -s ${from.ip} -d ${to.ip}`);
        const [, seconds] = /^\w+ +\d+ (\d+)/.exec(entry) ?? assert.fail(`no entry: ${entry}`);
        return Number(seconds) > 15;
      });
    }
  }
});

test('a pod sends under its own address alone', { skip }, () => {
  using net = fastNet('s');
  const [node] = net.nodes as [TestNode];
  const [from, to, other] = [net.addPod(node, 'a1'), net.addPod(node, 'a2'), net.addPod(node, 'a3')];
  const inPod = (pod: TestPod, ...words: string[]) =>
    spawnSync('nsenter', [`--net=${pod.netns}`, ...words], { encoding: 'utf8' });
  const rules =
    'table ip seen {\n chain in {\n type filter hook input priority 0; ip saddr 10.244.0.0/24 icmp type echo-request counter\n }\n}';
  execFileSync('nsenter', [`--net=${to.netns}`, 'nft', '-f', '-'], { input: `${rules}\n` });
  const received = () => /counter packets (\d+)/.exec(inPod(to, 'nft', 'list', 'table', 'ip', 'seen').stdout)![1];
  assert.equal(inPod(from, 'ping', '-c1', '-W5', to.ip).status, 0);
  assert.equal(received(), '1');
  execFileSync('ip', ['-n', from.netns.slice('/run/netns/'.length), 'addr', 'add', `${other.ip}/32`, 'dev', 'eth0']);
  assert.notEqual(inPod(from, 'ping', '-c1', '-W1', '-I', other.ip, to.ip).status, 0);
  assert.equal(received(), '1');
});

function filters(node: TestNode, link: string): string {
  return run(node, `tc filter show dev ${link} ingress`);
}

test('programs that somebody deletes are back, and so is a pod’s link with its place on the fast path', {
  skip,
}, async () => {
  using net = fastNet('d');
  const [node] = net.nodes as [TestNode];
  const [from, to] = [net.addPod(node, 'a1'), net.addPod(node, 'a2')];
  const forwarded = count(node);
  const repaired: string[] = [];
  const { name: nodeName, reconciler, kernel, netns } = node;
  const watch = watchDrift({ nodeName, reconciler, kernel, netns, onRepaired: (lines) => repaired.push(...lines) });
  const link = podLinkName('a1');
  try {
    for (const [hand, named] of [
      [`tc qdisc del dev ${link} clsact`, `added fast path dev ${link} from pod by eBPF`],
      [`tc filter del dev ${NODE_LEG} ingress`, `added fast path dev ${NODE_LEG} from wire by eBPF`],
      [`ip link del ${link}`, `added link ${link} `],
    ] as const) {
      run(node, hand);
      await until(`${hand} is repaired`, async () => repaired.some((line) => line.startsWith(named)));
      assert.match(filters(node, link), /podwire-fast-path-pod/);
      assert.match(filters(node, NODE_LEG), /podwire-fast-path-wire/);
      const before = forwarded();
      await bulk(from, to, 0);
      assert.ok(forwarded() - before < FEW, hand);
    }
  } finally {
    watch.close();
  }
});

test('an agent that starts anew takes the programs over, and a flow goes on', { skip }, async () => {
  using net = fastNet('r');
  const [node] = net.nodes as [TestNode];
  const [from, to] = [net.addPod(node, 'a1'), net.addPod(node, 'a2')];
  const forwarded = count(node);
  await using echo = await serveIn(to.netns, to.ip);
  using flow = new Flow(from, to.ip, echo.port);
  assert.equal(await flow.seen(), from.ip);
  await flow.talk();
  const old = filters(node, podLinkName('a1'));
  node.reconciler.close();
  node.kernel.close();
  await flow.talk();
  const anew = net.startNode(node);
  net.nodes[0] = anew;
  for (const pod of ['a1', 'a2']) net.attach(anew, pod);
  await anew.reconciler.repair();
  assert.notEqual(filters(node, podLinkName('a1')), old);
  const before = forwarded();
  for (let i = 0; i < 20; i++) await flow.talk();
  assert.ok(forwarded() - before < FEW);
});

test('a pod that is detached leaves the fast path', { skip }, async () => {
  using net = fastNet('l');
  const [node] = net.nodes as [TestNode];
  const [from, to] = [net.addPod(node, 'a1'), net.addPod(node, 'a2')];
  await bulk(from, to, 0);
  node.network.detach('a2');
  assert.equal(node.reconciler.wanted(`fast-pod  ${to.ip}`), undefined);
  assert.equal(filters(node, podLinkName('a1')).match(/podwire-fast-path-pod/g)?.length, 1);
});
