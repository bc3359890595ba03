// IP in IP by eBPF, on a kernel that has no tunnel device: pods meet, and on the wire is what RFC 2003 says.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { netnsName } from '../../src/cluster/layout.ts';
import { supportsIpipByEbpf } from '../../src/kernel/ipip-tunnels.ts';
import { supportsLink } from '../../src/kernel/link-support.ts';
import { watchDrift } from '../../src/node/drift.ts';
import { OVERLAY_STEPS } from '../../src/node/overlay.ts';
import { netnsPath } from '../../src/sys/netns.ts';
import { until } from '../cluster/machine.ts';
import { ClusterNet, serveIn, talk } from '../node/cluster-net.ts';
import { startStream } from './stream.ts';

const skip = whyNot();
const NODES = [
  { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/24'] },
  { name: 'node-2', ips: ['172.30.0.12'], podCIDRs: ['10.244.1.0/24'] },
];
const EBPF = { backend: 'ipip', directRouting: false, datapath: 'ebpf' } as const;

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  return supportsIpipByEbpf() ? false : 'this kernel does not take the eBPF programs';
}

function whyNoDevice(): string | false {
  return supportsLink({ kind: 'ipip', local: '127.0.0.1' })
    ? false
    : 'this kernel has no ipip device (CONFIG_NET_IPIP)';
}

/** A cluster whose nodes speak IP in IP, and what passes its fabric's bridge, told by an nft counter for each text. */
function ipipNet(role: string, counted: readonly string[]): { net: ClusterNet; packets: () => number[] } {
  const net = new ClusterNet(`t${process.pid}${role}`, NODES);
  for (const step of OVERLAY_STEPS) for (const node of net.nodes) node.overlay.change(EBPF, step);
  const fabric = `--net=${netnsPath(netnsName(net.name, 'fabric'))}`;
  const rules = counted.map((match) => `${match} counter`).join('\n');
  const table = `table bridge seen {\n chain passing {\n type filter hook forward priority 0;\n${rules}\n }\n }\n`;
  execFileSync('nsenter', [fabric, 'nft', '-f', '-'], { input: table });
  const packets = () => {
    const text = execFileSync('nsenter', [fabric, 'nft', 'list', 'table', 'bridge', 'seen'], { encoding: 'utf8' });
    return [...text.matchAll(/counter packets (\d+)/g)].map(([, count]) => Number(count));
  };
  return { net, packets };
}

test('pods meet through IP in IP by eBPF: addresses unchanged, bulk unbroken, and nothing unwrapped on the wire', {
  skip,
}, async () => {
  const outer = 'ip saddr 172.30.0.11 ip daddr 172.30.0.12 ip protocol 4';
  const { net, packets } = ipipNet('i', [outer, 'ip saddr 10.244.0.0/16', 'ip daddr 10.244.0.0/16']);
  using _ = net;
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  await using echo = await serveIn(to.netns, to.ip);
  assert.equal((await talk(from.netns, to.ip, echo.port))[0], from.ip);
  const payload = 'x'.repeat(4_000_000);
  const [, echoed] = await talk(from.netns, to.ip, echo.port, payload);
  assert.equal(echoed.length, payload.length);
  const [wrapped, ...bare] = packets();
  assert.ok(wrapped! > 20, `${wrapped} packets`);
  assert.deepEqual(bare, [0, 0]);
  // From a node itself, whose own address is in no prefix of pods.
  assert.equal((await talk(one.netns, to.ip, echo.port))[0], '172.30.0.11');
});

test('a full packet passes and no larger one', { skip }, async () => {
  const { net } = ipipNet('m', []);
  using _ = net;
  const [from, to] = [net.addPod(net.nodes[0]!, 'a1'), net.addPod(net.nodes[1]!, 'b1')];
  const ping = (bytes: number) =>
    spawnSync('nsenter', [`--net=${from.netns}`, 'ping', '-c1', '-W5', '-Mdo', `-s${bytes - 28}`, to.ip]).status;
  // A link that was made a moment ago may lose what is sent first.
  await until('packets pass', async () => ping(84) === 0);
  assert.equal(ping(1480), 0);
  assert.notEqual(ping(1481), 0);
});

test('a node that sends in the name of pods that are not its own is not heard', { skip }, () => {
  const { net } = ipipNet('s', []);
  using _ = net;
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const to = net.addPod(two, 'b1');
  const ping = (src: string) =>
    spawnSync('nsenter', [`--net=${one.netns}`, 'ping', '-c1', '-W2', '-I', src, to.ip]).status;
  const count =
    'table ip seen {\n chain passing {\n type filter hook input priority 0;\n icmp type echo-request counter\n }\n }\n';
  execFileSync('nsenter', [`--net=${to.netns}`, 'nft', '-f', '-'], { input: count });
  const received = () => {
    const text = execFileSync('nsenter', [`--net=${to.netns}`, 'nft', 'list', 'table', 'ip', 'seen'], {
      encoding: 'utf8',
    });
    return Number(text.match(/counter packets (\d+)/)![1]);
  };
  assert.equal(ping('172.30.0.11'), 0);
  assert.equal(received(), 1);
  for (const stolen of ['10.244.1.77', '10.244.9.9']) {
    execFileSync('ip', ['-n', one.netns.slice(11), 'addr', 'add', `${stolen}/32`, 'dev', 'lo']);
    assert.notEqual(ping(stolen), 0);
  }
  assert.equal(received(), 1);
});

test('programs that somebody deletes are back', { skip }, async () => {
  const { net, packets } = ipipNet('d', ['ip daddr 10.244.1.0/24']);
  using _ = net;
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  await using echo = await serveIn(to.netns, to.ip);
  const repaired: string[] = [];
  const { name: nodeName, reconciler, kernel, netns } = one;
  const watch = watchDrift({ nodeName, reconciler, kernel, netns, onRepaired: (lines) => repaired.push(...lines) });
  try {
    execFileSync('tc', ['-n', one.netns.slice(11), 'qdisc', 'del', 'dev', 'eth0', 'clsact']);
    await until('it is repaired', async () => repaired.some((line) => line.startsWith('added ipip dev eth0')));
    assert.equal((await talk(from.netns, to.ip, echo.port))[0], from.ip);
    assert.deepEqual(packets(), [0]);
  } finally {
    watch.close();
  }
});

test('a node with the kernel’s tunnel device and one with the programs understand each other', {
  skip: skip || whyNoDevice(),
}, async () => {
  using net = new ClusterNet(`t${process.pid}k`, NODES);
  const [one, two] = [net.nodes[0]!, net.nodes[1]!];
  for (const step of OVERLAY_STEPS) {
    one.overlay.change(EBPF, step);
    two.overlay.change({ backend: 'ipip', directRouting: false }, step);
  }
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  for (const [client, server] of [
    [from, to],
    [to, from],
  ] as const) {
    await using echo = await serveIn(server.netns, server.ip);
    const [seen, echoed] = await talk(client.netns, server.ip, echo.port, 'x'.repeat(1_000_000));
    assert.deepEqual([seen, echoed.length], [client.ip, 1_000_000]);
  }
});

test('a connection survives the change to host-gw and back', { skip }, async () => {
  const { net } = ipipNet('g', []);
  using _ = net;
  const [from, to] = [net.addPod(net.nodes[0]!, 'a1'), net.addPod(net.nodes[1]!, 'b1')];
  await using stream = await startStream(from, to, to.ip);
  await stream.goesOn(1 << 20);
  for (const overlay of [{ backend: 'host-gw', directRouting: false }, EBPF] as const) {
    for (const step of OVERLAY_STEPS) for (const node of net.nodes) node.overlay.change(overlay, step);
    await stream.goesOn(1 << 20);
  }
});

test('going back to vxlan takes the programs away, and leaving twice succeeds', { skip }, async () => {
  const { net } = ipipNet('b', []);
  using _ = net;
  const filters = () =>
    execFileSync('tc', ['-n', net.nodes[0]!.netns.slice(11), 'filter', 'show', 'dev', 'eth0', 'egress'], {
      encoding: 'utf8',
    });
  assert.match(filters(), /podwire-ipip-egress/);
  const [from, to] = [net.addPod(net.nodes[0]!, 'a1'), net.addPod(net.nodes[1]!, 'b1')];
  const vxlan = { backend: 'vxlan', directRouting: false } as const;
  for (let i = 0; i < 2; i++) {
    for (const step of OVERLAY_STEPS) for (const node of net.nodes) node.overlay.change(vxlan, step);
  }
  assert.equal(filters(), '');
  await using echo = await serveIn(to.netns, to.ip);
  assert.equal((await talk(from.netns, to.ip, echo.port))[0], from.ip);
});
