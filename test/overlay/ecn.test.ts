// Congestion between nodes, on the eBPF datapath (RFC 6040): outside a tunnel stands what pods say of it, and they hear what is marked there.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { test } from 'node:test';
import { netnsName } from '../../src/cluster/layout.ts';
import { supportsIpipByEbpf } from '../../src/kernel/ipip-tunnels.ts';
import type { OverlaySettings } from '../../src/plan/overlay/backend.ts';
import { netnsPath, socketIn } from '../../src/sys/netns.ts';
import { bindSocket, SOL, setSocketOption } from '../../src/sys/socket.ts';
import { until } from '../cluster/machine.ts';
import { ClusterNet, type TestNode, type TestPod, udpSocketIn } from '../node/cluster-net.ts';
import { count, datapath, NODES, run, skip } from '../node/fast-net.ts';

const ECN = { 'not-ect': 0, ect1: 1, ect0: 2, ce: 3 } as const;
type Ecn = keyof typeof ECN;
type Counts = Record<Ecn, number>;
const NONE: Counts = { 'not-ect': 0, ect1: 0, ect0: 0, ce: 0 };
const PORT = 4000;
/** IP_TOS and IPV6_TCLASS. */
const TYPE_OF_SERVICE = [
  [SOL.IP, 1],
  [SOL.IPV6, 67],
] as const;

/** What has passed a hook since it was last asked, by what it says of congestion. */
function countEcn(netns: string, hook: 'bridge forward' | 'inet input', match: string): () => Counts {
  const [family, point] = hook.split(' ');
  const rules = Object.keys(ECN).map((ecn) => `${match} ecn ${ecn} counter comment "${ecn}"`);
  const chain = `chain passing {\n type filter hook ${point} priority 0\n ${rules.join('\n ')}\n }`;
  const place = { netns } as TestNode;
  run(place, 'nft -f -', `table ${family} seen {\n${chain}\n}\n`);
  let last = NONE;
  return () => {
    const text = run(place, `nft list table ${family} seen`);
    const found = new Map(
      [...text.matchAll(/counter packets (\d+) .*comment "(\S+)"/g)].map(([, n, ecn]) => [ecn, Number(n)]),
    );
    const before = last;
    last = mapCounts((ecn) => found.get(ecn)!);
    return mapCounts((ecn) => last[ecn] - before[ecn]);
  };
}

function mapCounts(of: (ecn: Ecn) => number): Counts {
  return Object.fromEntries(Object.keys(ECN).map((ecn) => [ecn, of(ecn as Ecn)])) as Counts;
}

/** Says what it is told to, with that ECN. */
class Speaker implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #fd: number;
  readonly #to: TestPod;
  readonly #family: 0 | 1;
  readonly heard = new Set<string>();

  constructor(from: TestPod, to: TestPod, family: 0 | 1) {
    this.#to = to;
    this.#family = family;
    this.#fd = socketIn(from.netns, family === 0 ? 'inet' : 'inet6', 'dgram');
    bindSocket(this.#fd, from.ips[family]!, 0);
    this.#socket = createSocket(family === 0 ? 'udp4' : 'udp6');
    this.#socket.bind({ fd: this.#fd });
    this.#socket.on('message', (text) => this.heard.add(String(text)));
  }

  /** Resolves when it is sent: until then the socket's option counts. */
  say(text: string, ecn: Ecn): Promise<void> {
    const [level, option] = TYPE_OF_SERVICE[this.#family];
    setSocketOption(this.#fd, level, option, ECN[ecn]);
    return new Promise((resolve) => this.#socket.send(text, PORT, this.#to.ips[this.#family]!, () => resolve()));
  }

  async ask(text: string, ecn: Ecn): Promise<void> {
    await this.say(text, ecn);
    await until(`"${text}" is answered`, async () => this.heard.has(text));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}

function answerIn({ netns, ips }: TestPod, family: 0 | 1): AsyncDisposable {
  const socket = udpSocketIn(netns, ips[family]!, PORT);
  socket.on('message', (text, { address, port }) => socket.send(text, port, address));
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(() => resolve())) };
}

async function carriesCongestion(overlay: OverlaySettings, family: 0 | 1): Promise<void> {
  using net = new ClusterNet(`t${process.pid}${overlay.backend[0]}${family}`, NODES, { datapath, overlay }, false);
  const [one, two] = net.nodes as [TestNode, TestNode];
  const [from, to] = [net.addPod(one, 'a1'), net.addPod(two, 'b1')];
  const fabric = netnsPath(netnsName(net.name, 'fabric'));
  const outside = countEcn(fabric, 'bridge forward', 'ip saddr 172.30.0.11 ip');
  const inside = countEcn(to.netns, 'inet input', `udp dport ${PORT} ${family === 0 ? 'ip' : 'ip6'}`);
  const forwarded = [count(one), count(two)];
  await using _ = answerIn(to, family);
  await using speaker = new Speaker(from, to, family);
  // From the third datagram on nodes are passed by.
  for (let i = 0; i < 3; i++) await speaker.ask(`hello ${i}`, 'not-ect');
  const passed = forwarded.map((each) => each());
  for (const counts of [outside, inside]) counts();
  for (const ecn of Object.keys(ECN) as Ecn[]) {
    await speaker.ask(ecn, ecn);
    assert.deepEqual(outside(), { ...NONE, [ecn]: 1 }, `${ecn} outside`);
    assert.deepEqual(inside(), { ...NONE, [ecn]: 1 }, `${ecn} inside`);
  }
  assert.deepEqual(
    forwarded.map((each) => each()),
    passed,
  );
  const marking = 'type filter hook forward priority -1; ip saddr 172.30.0.11 ip ecn set ce';
  run({ netns: fabric } as TestNode, 'nft -f -', `table bridge congested {\n chain marking {\n ${marking}\n }\n}\n`);
  // A new flow is unwrapped for the node's stack.
  await using other = new Speaker(from, to, family);
  for (const [who, name] of [
    [speaker, 'known'],
    [other, 'new'],
  ] as const) {
    for (const ecn of ['ect0', 'ect1', 'ce'] as const) {
      await who.say(`${name} lost ${ecn}`, 'not-ect');
      // Behind the other on the same way.
      await who.ask(`${name} ${ecn}`, ecn);
      assert.deepEqual(inside(), { ...NONE, ce: 1 }, `${name} ${ecn}`);
    }
  }
  assert.deepEqual(
    [...speaker.heard, ...other.heard].filter((text) => text.includes('lost')),
    [],
  );
}

for (const backend of ['vxlan', 'ipip'] as const) {
  const isLacking = backend === 'ipip' && !skip && !supportsIpipByEbpf();
  const lacking = isLacking ? 'this kernel does not take the eBPF programs of IP in IP' : skip;
  const overlay = { backend, directRouting: false, ...(backend === 'ipip' && { datapath: 'ebpf' }) } as OverlaySettings;
  for (const family of backend === 'ipip' ? ([0] as const) : ([0, 1] as const)) {
    test(`ECN over ${backend}, IPv${family === 0 ? 4 : 6}`, { skip: lacking }, () =>
      carriesCongestion(overlay, family),
    );
  }
}
