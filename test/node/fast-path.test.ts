// The eBPF fast path: known flows between pods pass no node's stack; whatever needs the node's rules still meets them.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { NODE_LEG } from '../../src/cluster/fabric.ts';
import { probeFastPath } from '../../src/kernel/fast-path.ts';
import { supportsIpipByEbpf } from '../../src/kernel/ipip-tunnels.ts';
import type { Datapath, NodeOptions } from '../../src/node/agent.ts';
import { watchDrift } from '../../src/node/drift.ts';
import type { OverlaySettings } from '../../src/plan/overlay/backend.ts';
import { podLinkName } from '../../src/plan/pods.ts';
import { socketIn } from '../../src/sys/netns.ts';
import { bindSocket, SO, SOL, setSocketOption } from '../../src/sys/socket.ts';
import { until } from '../cluster/machine.ts';
import { ClusterNet, serveIn, type TestNode, type TestPod, talk } from './cluster-net.ts';

const probed = process.getuid?.() === 0 ? probeFastPath() : { missing: 'needs root' };
const skip = 'missing' in probed ? probed.missing : false;
const datapath: Datapath = 'numbers' in probed ? { kind: 'ebpf', numbers: probed.numbers } : { kind: 'nftables' };
const NODES = [
  { name: 'node-1', ips: ['172.30.0.11', 'fd00:172:30::11'], podCIDRs: ['10.244.0.0/24', 'fd00:10:244::/64'] },
  { name: 'node-2', ips: ['172.30.0.12', 'fd00:172:30::12'], podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'] },
];
/** Some hundred segments each way; a handful of packets belongs to the beginning and the end. */
const BULK = 'x'.repeat(8_000_000);
const FEW = 60;

function run(node: TestNode, command: string, input?: string): string {
  const [file, ...args] = command.split(' ');
  return execFileSync('nsenter', [`--net=${node.netns}`, file!, ...args], { encoding: 'utf8', input });
}

/** Counts what the node's own stack forwards. A rule that asks for a flow's state, as Services have them, turns connection tracking on. */
function count(node: TestNode): () => number {
  const rules = 'meta l4proto { tcp, udp } counter\n ct state untracked accept\n';
  const chain = `chain passing {\n type filter hook forward priority 0\n ${rules} }`;
  run(node, 'nft -f -', `table inet seen {\n${chain}\n}\n`);
  return () => Number(/counter packets (\d+)/.exec(run(node, 'nft list chain inet seen passing'))![1]);
}

function fastNet(role: string, settings: Partial<NodeOptions> = {}): ClusterNet {
  return new ClusterNet(`t${process.pid}${role}`, NODES, { datapath, ...settings });
}

async function bulk(from: TestPod, to: TestPod, family: 0 | 1): Promise<void> {
  await using echo = await serveIn(to.netns, to.ips[family]!);
  const [seen, echoed] = await talk(from.netns, to.ips[family]!, echo.port, BULK);
  assert.equal(seen, from.ips[family]);
  assert.equal(echoed.length, BULK.length);
}

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

/** A connection from a chosen port: the line that says who was seen, and 100,000 bytes there and back whenever asked. */
class Flow implements Disposable {
  readonly #socket: Socket;
  #text = '';
  readonly #bytes = 100_000;

  constructor(from: TestPod, host: string, port: number) {
    const fd = socketIn(from.netns, 'inet', 'stream');
    setSocketOption(fd, SOL.SOCKET, SO.REUSEADDR, 1);
    bindSocket(fd, from.ip, OWN_PORT);
    this.#socket = new Socket({ fd, readable: true, writable: true });
    this.#socket.on('error', () => {});
    this.#socket.on('data', (chunk) => {
      this.#text += chunk;
    });
    this.#socket.connect(port, host);
  }

  async seen(): Promise<string> {
    await until('the server says whom it sees', async () => this.#text.includes('\n'));
    const line = this.#text.slice(0, this.#text.indexOf('\n'));
    this.#text = '';
    return line;
  }

  get received(): number {
    return this.#text.length;
  }

  send(): void {
    this.#text = '';
    this.#socket.write('y'.repeat(this.#bytes));
  }

  async talk(): Promise<void> {
    this.send();
    await until('all is echoed', async () => this.#text.length === this.#bytes);
  }

  /** By a reset: nobody waits for the port. */
  [Symbol.dispose](): void {
    this.#socket.resetAndDestroy();
  }
}

const OWN_PORT = 40_123;

/** A datagram there and one back, as often as asked. */
class Datagrams implements AsyncDisposable {
  readonly #client: UdpSocket;
  readonly #server: UdpSocket;
  #answered = 0;

  static async open(from: TestPod, to: TestPod): Promise<Datagrams> {
    const [client, server] = await Promise.all([from, to].map(({ netns, ip }) => udpSocket(netns, ip)));
    return new Datagrams(client!, server!);
  }

  constructor(client: UdpSocket, server: UdpSocket) {
    [this.#client, this.#server] = [client, server];
    server.on('message', (text, { address, port }) => server.send(text, port, address));
    client.on('message', () => this.#answered++);
  }

  async exchange(): Promise<void> {
    const before = this.#answered;
    const { address, port } = this.#server.address();
    this.#client.send('x', port, address);
    await until('it is answered', async () => this.#answered > before);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#client, this.#server].map((socket) => new Promise<void>((done) => socket.close(done))));
  }
}

function udpSocket(netns: string, ip: string): Promise<UdpSocket> {
  const fd = socketIn(netns, 'inet', 'dgram');
  bindSocket(fd, ip, 0);
  const socket = createSocket('udp4');
  return new Promise((resolve) => socket.bind({ fd }, () => resolve(socket)));
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
  await using datagrams = await Datagrams.open(from, to);
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
  anew.reconciler.repair();
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
