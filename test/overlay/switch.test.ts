// From one overlay to another, node by node: at no time does a node send what another cannot receive, so not one datagram is lost.
import assert from 'node:assert/strict';
import type { Socket } from 'node:dgram';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { probeFastPath } from '../../src/kernel/fast-path.ts';
import { supportsIpipByEbpf } from '../../src/kernel/ipip-tunnels.ts';
import type { Datapath } from '../../src/node/agent.ts';
import { OVERLAY_STEPS } from '../../src/node/overlay.ts';
import type { OverlayName, OverlaySettings } from '../../src/plan/overlay/backend.ts';
import { until } from '../cluster/machine.ts';
import { ClusterNet, type TestPod, udpSocketIn } from '../node/cluster-net.ts';

const isRoot = process.getuid?.() === 0;
const probed = isRoot ? probeFastPath() : { missing: 'needs root' };
const NODES = [1, 2, 3].map((n) => ({
  name: `node-${n}`,
  ips: [`172.30.0.1${n}`],
  podCIDRs: [`10.244.${n}.0/24`],
}));
/** Every pair of neighbours, there and back, and the first after the last. */
const WALK: readonly OverlayName[] = [
  'host-gw',
  'ipip',
  'vxlan',
  'udp',
  'ipip',
  'host-gw',
  'udp',
  'host-gw',
  'vxlan',
  'ipip',
  'udp',
  'vxlan',
];

function settingsOf(backend: OverlayName): OverlaySettings {
  return { backend, directRouting: false, ...(backend === 'ipip' && { datapath: 'ebpf' }) };
}

/** Datagrams from one pod to another and back, numbered, without rest. */
class Exchange implements Disposable {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #to: TestPod;
  readonly #answered = new Set<number>();
  #sent = 0;

  constructor(from: TestPod, to: TestPod) {
    this.#to = to;
    [this.#client, this.#server] = [udpSocketIn(from.netns, from.ip), udpSocketIn(to.netns, to.ip)];
    this.#server.on('message', (text, { port, address }) => this.#server.send(text, port, address));
    this.#client.on('message', (text) => this.#answered.add(Number(text)));
  }

  send(): void {
    this.#client.send(`${this.#sent++}`, this.#server.address().port, this.#to.ip);
  }

  get missing(): number[] {
    return Array.from({ length: this.#sent }, (_, i) => i).filter((i) => !this.#answered.has(i));
  }

  sendMissing(): void {
    for (const number of this.missing) this.#client.send(`${number}`, this.#server.address().port, this.#to.ip);
  }

  [Symbol.dispose](): void {
    this.#client.close();
    this.#server.close();
  }
}

/** The first may be lost: a link that has just been made carries nothing until the kernel has seen that it is up. */
async function meet(exchanges: readonly Exchange[]): Promise<void> {
  for (const exchange of exchanges) exchange.send();
  await until('all pods meet', async () => {
    for (const exchange of exchanges) exchange.sendMissing();
    return exchanges.every(({ missing }) => missing.length === 0);
  });
}

async function askedByAll(exchanges: readonly Exchange[], during: string): Promise<void> {
  let dropped = droppedByCpus();
  for (let i = 0; i < 5; i++) {
    for (const exchange of exchanges) exchange.send();
    await setTimeout(1);
  }
  await until(`all datagrams are answered: ${during}`, async () => {
    if (exchanges.every(({ missing }) => missing.length === 0)) return true;
    // The CPUs' queues are one for all namespaces: with other tests' packets in them, ours may have found no room.
    if (droppedByCpus() === dropped) return false;
    dropped = droppedByCpus();
    for (const exchange of exchanges) exchange.sendMissing();
    return false;
  });
}

/** Packets of the whole machine that found no room in the queue of a CPU. */
function droppedByCpus(): number {
  const lines = readFileSync('/proc/net/softnet_stat', 'utf8').trim().split('\n');
  return lines.reduce((sum, line) => sum + Number.parseInt(line.split(' ')[1]!, 16), 0);
}

const DATAPATHS: readonly [name: string, datapath: Datapath | undefined][] = [
  ['nftables', { kind: 'nftables' }],
  ['ebpf', 'numbers' in probed ? { kind: 'ebpf', numbers: probed.numbers } : undefined],
];
for (const [name, datapath] of DATAPATHS) {
  const lacking = !isRoot ? 'needs root' : !datapath && 'missing' in probed ? probed.missing : false;
  test(`datapath ${name}: from each overlay to each other no datagram is lost, whatever node goes first`, {
    skip: lacking,
  }, async () => {
    using net = new ClusterNet(`t${process.pid}${name[0]}`, NODES, {
      datapath: datapath!,
      overlay: settingsOf('vxlan'),
    });
    const pods = net.nodes.map((node, i) => net.addPod(node, `p${i}`));
    using ends = new DisposableStack();
    const pairs = pods.flatMap((from) => pods.filter((to) => to !== from).map((to) => new Exchange(from, to)));
    for (const exchange of pairs) ends.use(exchange);
    await meet(pairs);
    for (const [i, backend] of WALK.entries()) {
      if (backend === 'udp' && !existsSync('/dev/net/tun')) continue;
      if (backend === 'ipip' && !supportsIpipByEbpf()) continue;
      for (const step of OVERLAY_STEPS) {
        for (const node of i % 2 ? net.nodes : net.nodes.toReversed()) {
          node.overlay.change(settingsOf(backend), step);
          await askedByAll(pairs, `to ${backend}, ${step} at ${node.name}`);
        }
      }
    }
    assert.deepEqual(
      pairs.flatMap(({ missing }) => missing),
      [],
    );
  });
}
