// The short way between nodes: frames for nodes of a rack go past its bridge, and whatever the bridge alone knows stays with it.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { ensureFabric, setNodeLeg } from '../../src/cluster/fabric.ts';
import { FabricWatch } from '../../src/cluster/fabric-watch.ts';
import { netnsName } from '../../src/cluster/layout.ts';
import { probeFastPath } from '../../src/kernel/fast-path.ts';
import { supportsIpipByEbpf } from '../../src/kernel/ipip-tunnels.ts';
import { linkFacts } from '../../src/kernel/linux-read.ts';
import { Neighbours } from '../../src/lb/neighbours.ts';
import type { NodeOptions } from '../../src/node/agent.ts';
import { watchDrift } from '../../src/node/drift.ts';
import { OVERLAY_STEPS } from '../../src/node/overlay.ts';
import type { OverlaySettings } from '../../src/plan/overlay/backend.ts';
import { podLinkName } from '../../src/plan/pods.ts';
import { createNetns, inNetns, netnsPath, removeNamespace, socketIn } from '../../src/sys/netns.ts';
import { until } from '../cluster/machine.ts';
import { ClusterNet, serveIn, type TestNode, type TestPod, talk } from '../node/cluster-net.ts';
import { inside } from './overlay-cluster.ts';

const probed = process.getuid?.() === 0 ? probeFastPath() : { missing: 'needs root' };
const skip = 'missing' in probed ? probed.missing : false;
const datapath = 'numbers' in probed ? ({ kind: 'ebpf', numbers: probed.numbers } as const) : undefined;
const hostGw: OverlaySettings = { backend: 'host-gw', directRouting: false };
const ipip: OverlaySettings = { backend: 'ipip', directRouting: false, datapath: 'ebpf' };
const NODES = [
  { name: 'node-1', ips: ['172.30.0.11', 'fd00:172:30::11'], podCIDRs: ['10.244.0.0/24', 'fd00:10:244::/64'] },
  { name: 'node-2', ips: ['172.30.0.12', 'fd00:172:30::12'], podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'] },
  { name: 'node-3', ips: ['172.30.0.13', 'fd00:172:30::13'], podCIDRs: ['10.244.2.0/24', 'fd00:10:244:2::/64'] },
];
const BULK = 'x'.repeat(4_000_000);
/** A beginning, an end, ARP, and whatever a bridge has to say; BULK is some hundred. */
const FEW = 40;

function fastNet(role: string, overlay: OverlaySettings, nodes: ClusterNet['fabric']['nodes'] = NODES): ClusterNet {
  const settings: Partial<NodeOptions> = datapath ? { datapath, overlay } : { overlay };
  const net = new ClusterNet(`t${process.pid}${role}`, nodes, settings);
  // They ask for flows' states, as Services do: without them nothing is tracked.
  net.enforceRules();
  return net;
}

const fabricOf = (net: ClusterNet) => netnsPath(netnsName(net.name, 'fabric'));

/** Frames that a bridge has sent to a node over its port. */
function bridged(net: ClusterNet, node: string): number {
  const text = inside(fabricOf(net), 'ip', '-j', '-s', 'link', 'show', `pw-${node}`);
  return (JSON.parse(text) as { stats64: { tx: { packets: number } } }[])[0]!.stats64.tx.packets;
}

/** How many frames the bridges had of it, both ways. */
async function bulk(net: ClusterNet, from: TestPod, to: TestPod, family: 0 | 1 = 0): Promise<number> {
  const count = () => bridged(net, from.node.name) + bridged(net, to.node.name);
  const before = count();
  await using echo = await serveIn(to.netns, to.ips[family]!);
  const [seen, echoed] = await talk(from.netns, to.ips[family]!, echo.port, BULK);
  assert.equal(seen, from.ips[family]);
  assert.equal(echoed.length, BULK.length);
  return count() - before;
}

/** The machine still reaches a node, by a bridge. */
async function machineReaches(net: ClusterNet, node: TestNode): Promise<void> {
  await using echo = await serveIn(node.netns, node.ips[0]!);
  assert.equal((await talk(net.host, node.ips[0]!, echo.port))[0], '172.30.0.1');
}

for (const overlay of [hostGw, ipip, { backend: 'vxlan', directRouting: false } as const]) {
  const lacking = overlay === ipip && !skip && !supportsIpipByEbpf() ? 'the kernel takes no ipip by eBPF' : skip;
  test(`frames between nodes pass no bridge: ${overlay.backend}`, { skip: lacking }, async () => {
    using net = fastNet(overlay.backend[0]!, overlay);
    const [one, two] = net.nodes as [TestNode, TestNode];
    const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
    for (const family of overlay === ipip ? ([0] as const) : ([0, 1] as const)) {
      const frames = await bulk(net, from, to, family);
      assert.ok(frames < FEW, `${frames} frames by the bridge`);
    }
    await machineReaches(net, two);
  });
}

/** What the kernel's own device has had of it, to send and to receive. */
function throughDevice(node: TestNode): number[] {
  const text = inside(node.netns, 'ip', '-j', '-s', 'link', 'show', 'pw-vxlan');
  const { rx, tx } = (JSON.parse(text) as { stats64: Record<'rx' | 'tx', { packets: number }> }[])[0]!.stats64;
  return [tx.packets, rx.packets];
}

test('vxlan by eBPF passes the kernel’s devices by, and understands them and is understood', { skip }, async () => {
  using net = fastNet('x', { backend: 'vxlan', directRouting: false });
  const [one, two] = net.nodes as [TestNode, TestNode];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  const passed = async (family: 0 | 1) => {
    const count = () => [...throughDevice(one), ...throughDevice(two)];
    const before = count();
    await bulk(net, from, to, family);
    return count().map((packets, i) => packets - before[i]!);
  };
  for (const family of [0, 1] as const) {
    const [sent, got, sentBack, gotBack] = (await passed(family)) as [number, number, number, number];
    const [sends, gets] = [
      [sent, sentBack],
      [got, gotBack],
    ];
    assert.ok(
      sends.every((packets) => packets > 0 && packets < FEW),
      `${sends} packets of family ${family} sent`,
    );
    // Of what the node's stack must see only packets of several segments are the device's.
    assert.ok(
      gets.every((packets, i) => packets < sends[1 - i]! / 2),
      `${gets} packets of family ${family} received, ${sends} sent`,
    );
  }
  // From here on node-2 unwraps by its device, and node-1 what that wraps.
  inside(two.netns, 'tc', 'filter', 'del', 'dev', 'eth0', 'ingress');
  for (const family of [0, 1] as const) {
    const [sent, got, , gotBack] = (await passed(family)) as [number, number, number, number];
    assert.ok(sent < FEW && got < FEW && gotBack > FEW, `${sent} sent, ${got} and ${gotBack} received`);
  }
  inside(two.netns, 'tc', 'qdisc', 'del', 'dev', podLinkName('b1'), 'clsact');
  for (const family of [0, 1] as const) {
    const [, got, sentBack] = (await passed(family)) as [number, number, number, number];
    assert.ok(got < FEW && sentBack > FEW, `${got} received, ${sentBack} sent back`);
  }
});

for (const overlay of [ipip, { backend: 'vxlan', directRouting: false } as const]) {
  const lacking = overlay === ipip && !skip && !supportsIpipByEbpf() ? 'the kernel takes no ipip by eBPF' : skip;
  test(`what a pod passes on is wrapped twice in its life: ${overlay.backend}`, { skip: lacking }, async () => {
    using net = fastNet(`p${overlay.backend[0]}`, overlay);
    const [from, over, to] = net.nodes.map((node, i) => net.addPod(node, `p${i}`)) as [TestPod, TestPod, TestPod];
    await using echo = await serveIn(to.netns, to.ip);
    const pre = `type nat hook prerouting priority -100; tcp dport 80 dnat to ${to.ip}:${echo.port};`;
    const post = 'type nat hook postrouting priority 100; masquerade;';
    inside(over.netns, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    inside(over.netns, 'nft', `table ip n { chain pre { ${pre} }; chain post { ${post} }; }`);
    const [seen, echoed] = await talk(from.netns, over.ip, 80, BULK);
    assert.equal(seen, over.ip);
    assert.equal(echoed.length, BULK.length);
  });
}

test('the overlay changes under a flow, and the near way with it', { skip }, async () => {
  using net = fastNet('o', hostGw);
  const [from, to] = [net.addPod(net.nodes[0]!, 'a1'), net.addPod(net.nodes[1]!, 'b1')];
  await using echo = await serveIn(to.netns, to.ip);
  using flow = new Flow(from, to, echo.port);
  const vxlan: OverlaySettings = { backend: 'vxlan', directRouting: false };
  for (const overlay of [vxlan, ipip, vxlan, hostGw, ipip, hostGw, vxlan]) {
    for (const step of OVERLAY_STEPS) {
      for (const node of net.nodes) node.overlay.change(overlay, step);
      await flow.talk();
    }
    assert.ok((await bulk(net, from, to)) < FEW, overlay.backend);
  }
});

/** A connection that stays, and on which bytes are echoed when asked. */
class Flow implements Disposable {
  readonly #socket: Socket;
  received = 0;

  constructor(from: TestPod, to: TestPod, port: number) {
    this.#socket = new Socket({ fd: socketIn(from.netns, 'inet', 'stream'), readable: true, writable: true });
    this.#socket.on('error', () => {});
    this.#socket.on('data', (chunk) => {
      this.received += chunk.length;
    });
    this.#socket.connect(port, to.ip);
  }

  send(): void {
    this.received = 0;
    this.#socket.write('y'.repeat(100_000));
  }

  async echoed(): Promise<void> {
    await until('all is echoed', async () => this.received >= 100_000);
  }

  async talk(): Promise<void> {
    this.send();
    await this.echoed();
  }

  [Symbol.dispose](): void {
    this.#socket.resetAndDestroy();
  }
}

function plug(net: ClusterNet, name: string, isIn: boolean): void {
  setNodeLeg(net.name, name, isIn);
  ensureFabric(isIn ? net.fabric : { ...net.fabric, cutOff: new Set([name]) });
}

test('a node whose plug is pulled gets and sends nothing, whichever it is, until it is healed', { skip }, async () => {
  using net = fastNet('i', hostGw);
  const [one, two, three] = net.nodes as [TestNode, TestNode, TestNode];
  const [from, to, other] = [net.addPod(one, 'a1'), net.addPod(two, 'b1'), net.addPod(three, 'c1')];
  await using echo = await serveIn(to.netns, to.ip);
  using flow = new Flow(from, to, echo.port);
  await flow.talk();
  const retransmits = () => /retrans:\d+\/(\d+)/.exec(inside(from.netns, 'ss', '-Htin', 'dst', to.ip))?.[1];
  for (const name of ['node-2', 'node-1']) {
    plug(net, name, false);
    const before = retransmits();
    flow.send();
    await until('the sender tries again', async () => retransmits() !== before);
    assert.equal(flow.received, 0, name);
    if (name === 'node-2') assert.ok((await bulk(net, from, other)) < FEW, 'others are as near as before');
    plug(net, name, true);
    await flow.echoed();
    await flow.talk();
  }
});

/** As the agent that takes an address over tells all neighbours. */
function announce(node: TestNode, ip: string): void {
  const link = { ...linkFacts('eth0', node.netns)!, ips: node.ips };
  const neighbours = inNetns(node.netns, () => new Neighbours(link, () => {}));
  neighbours.announce(ip);
  neighbours.close();
}

test('an address that moves to another node is found there', { skip }, async () => {
  using net = fastNet('m', hostGw);
  const [one, two, three] = net.nodes as [TestNode, TestNode, TestNode];
  const service = '172.30.0.200';
  const answer = async (node: TestNode, from: string, src: string) => {
    inside(node.netns, 'ip', 'addr', 'add', `${service}/32`, 'dev', 'eth0');
    announce(node, service);
    await using echo = await serveIn(node.netns, service);
    assert.equal((await talk(from, service, echo.port))[0], src);
    inside(node.netns, 'ip', 'addr', 'del', `${service}/32`, 'dev', 'eth0');
  };
  for (const node of [one, two, one]) {
    await answer(node, three.netns, three.ips[0]!);
    await answer(node, net.host, '172.30.0.1');
  }
});

test('a MAC that nobody had told is found by the bridge', { skip }, async () => {
  using net = fastNet('u', hostGw);
  const [, two, three] = net.nodes as [TestNode, TestNode, TestNode];
  // Somebody else at node-2's leg: a machine of the user's own, say.
  const guest = netnsPath(`pwt-guest-${process.pid}`);
  createNetns(guest);
  try {
    const macvlan = ['netns', guest, 'type', 'macvlan', 'mode', 'bridge'];
    inside(two.netns, 'ip', 'link', 'add', 'link', 'eth0', 'name', 'guest0', ...macvlan);
    inside(guest, 'ip', 'address', 'add', '172.30.0.77/24', 'dev', 'guest0');
    inside(guest, 'ip', 'link', 'set', 'guest0', 'up');
    const before = bridged(net, 'node-2');
    await using echo = await serveIn(guest, '172.30.0.77');
    const [seen] = await talk(three.netns, '172.30.0.77', echo.port);
    assert.equal(seen, three.ips[0]);
    assert.ok(bridged(net, 'node-2') > before + 3);
  } finally {
    removeNamespace(guest);
  }
});

const RACKS = [
  { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/24'], rack: 0 },
  { name: 'node-2', ips: ['172.30.0.139'], podCIDRs: ['10.244.1.0/24'], rack: 1 },
  { name: 'node-3', ips: ['172.30.0.12'], podCIDRs: ['10.244.2.0/24'], rack: 0 },
];

for (const overlay of [ipip, { backend: 'none', directRouting: false }, { ...ipip, directRouting: true }] as const) {
  const { backend, directRouting } = overlay;
  const lacking = backend === 'ipip' && !skip && !supportsIpipByEbpf() ? 'the kernel takes no ipip by eBPF' : skip;
  const what = `${backend}${directRouting ? ' with direct routes' : ''}`;
  test(`racks, ${what}: near ones pass no bridge, others the router`, { skip: lacking }, async () => {
    using net = fastNet(`r${backend[0]}${Number(directRouting)}`, overlay, RACKS);
    const [one, two, three] = net.nodes as [TestNode, TestNode, TestNode];
    const [from, near, far] = [net.addPod(one, 'a1'), net.addPod(three, 'c1'), net.addPod(two, 'b1')];
    // Over `none` the router has it all.
    if (backend === 'ipip') assert.ok((await bulk(net, from, near)) < FEW);
    else await bulk(net, from, near);
    assert.ok((await bulk(net, from, far)) > FEW, 'by the router');
    await bulk(net, far, near);
    await machineReaches(net, one);
  });
}

test('what is deleted by hand of it is back, and turned off it goes; flows go on', { skip }, async () => {
  using net = fastNet('d', hostGw);
  const [one, two] = net.nodes as [TestNode, TestNode];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  const programs = () => inside(fabricOf(net), 'tc', 'filter', 'show', 'dev', 'pw-node-1', 'ingress');
  await using echo = await serveIn(to.netns, to.ip);
  using flow = new Flow(from, to, echo.port);
  await flow.talk();
  const watch = new FabricWatch(net.fabric);
  const { name: nodeName, reconciler, kernel, netns } = one;
  const drift = watchDrift({ nodeName, reconciler, kernel, netns, onRepaired: () => {} });
  try {
    for (const hand of ['tc qdisc del dev pw-node-1 clsact', 'ip link del pw-node-1']) {
      execFileSync('nsenter', [`--net=${fabricOf(net)}`, ...hand.split(' ')]);
      await until(`${hand} is repaired`, async () => /podwire-switch/.test(programs()));
      await flow.talk();
      await until('frames pass the bridge by', async () => (await bulk(net, from, to)) < FEW);
    }
  } finally {
    watch.close();
    drift.close();
  }
  ensureFabric({ ...net.fabric, fast: false });
  assert.doesNotMatch(programs(), /podwire-switch/);
  await flow.talk();
  assert.ok((await bulk(net, from, to)) > FEW);
});

test('nodes without the fast path pass the bridge by too', { skip }, async () => {
  const overlay = { backend: 'vxlan', directRouting: false } as const;
  using net = new ClusterNet(`t${process.pid}n`, NODES, { overlay });
  net.enforceRules();
  const [one, two] = net.nodes as [TestNode, TestNode];
  const [from, to] = [net.addPod(one, 'a'), net.addPod(two, 'b')];
  assert.ok((await bulk(net, from, to)) > FEW);
  ensureFabric({ ...net.fabric, fast: true });
  for (const family of [0, 1] as const) assert.ok((await bulk(net, from, to, family)) < FEW);
  await machineReaches(net, one);
});

test('on a kernel that takes no programs nftables and the bridge do it all, and one line says so', {
  skip,
}, () => {
  const module = (name: string) => new URL(`../../src/cluster/${name}.ts`, import.meta.url).href;
  const config = JSON.stringify({ network: { datapath: 'ebpf' } });
  const ask = `const { settleDatapath } = await import('${module('datapath')}');
    const { fabricOptions } = await import('${module('fabric-options')}');
    const told = () => settleDatapath(${config}).kind + ' ' + fabricOptions(${config}, []).fast + ' ';
    for (let i = 0; i < 3; i++) process.stdout.write(told());`;
  const lost = '-bpf,-sys_admin,-perfmon';
  const node = [process.execPath, '--input-type=module', '-e', ask];
  const words = [`--bounding-set=${lost}`, `--inh-caps=${lost}`, ...node];
  const { stdout, stderr } = spawnSync('setpriv', words, { encoding: 'utf8' });
  assert.equal(stdout, 'nftables false nftables false nftables false ');
  assert.equal(stderr.match(/no eBPF fast path on this kernel/g)?.length, 1, stderr);
});
