// Two nodes with the eBPF fast path, what their stacks see of flows between pods, and flows.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { Socket as UdpSocket } from 'node:dgram';
import { Socket } from 'node:net';
import { probeFastPath } from '../../src/kernel/fast-path.ts';
import type { Datapath, NodeOptions } from '../../src/node/agent.ts';
import { socketIn } from '../../src/sys/netns.ts';
import { bindSocket, SO, SOL, setSocketOption } from '../../src/sys/socket.ts';
import { until } from '../cluster/machine.ts';
import { ClusterNet, serveIn, type TestNode, type TestPod, talk, udpSocketIn } from './cluster-net.ts';

export const probed = process.getuid?.() === 0 ? probeFastPath() : { missing: 'needs root' };
export const skip = 'missing' in probed ? probed.missing : false;
export const datapath: Datapath =
  'numbers' in probed ? { kind: 'ebpf', numbers: probed.numbers } : { kind: 'nftables' };
export const NODES = [
  { name: 'node-1', ips: ['172.30.0.11', 'fd00:172:30::11'], podCIDRs: ['10.244.0.0/24', 'fd00:10:244::/64'] },
  { name: 'node-2', ips: ['172.30.0.12', 'fd00:172:30::12'], podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'] },
];
/** Some hundred segments each way; a handful of packets belongs to the beginning and the end. */
const BULK = 'x'.repeat(8_000_000);
export const FEW = 60;

export function run(node: TestNode, command: string, input?: string): string {
  const [file, ...args] = command.split(' ');
  return execFileSync('nsenter', [`--net=${node.netns}`, file!, ...args], { encoding: 'utf8', input });
}

/** Counts what the node's own stack forwards. A rule that asks for a flow's state, as Services have them, turns connection tracking on. */
export function count(node: TestNode): () => number {
  const rules = 'meta l4proto { tcp, udp } counter\n ct state untracked accept\n';
  const chain = `chain passing {\n type filter hook forward priority 0\n ${rules} }`;
  run(node, 'nft -f -', `table inet seen {\n${chain}\n}\n`);
  return () => Number(/counter packets (\d+)/.exec(run(node, 'nft list chain inet seen passing'))![1]);
}

export function fastNet(role: string, settings: Partial<NodeOptions> = {}): ClusterNet {
  return new ClusterNet(`t${process.pid}${role}`, NODES, { datapath, ...settings });
}

export async function bulk(from: TestPod, to: TestPod, family: 0 | 1): Promise<void> {
  await using echo = await serveIn(to.netns, to.ips[family]!);
  const [seen, echoed] = await talk(from.netns, to.ips[family]!, echo.port, BULK);
  assert.equal(seen, from.ips[family]);
  assert.equal(echoed.length, BULK.length);
}

/** A connection from a chosen port: the line that says who was seen, and 100,000 bytes there and back whenever asked. */
export class Flow implements Disposable {
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

export const OWN_PORT = 40_123;

/** A datagram there and one back, as often as asked. */
export class Datagrams implements AsyncDisposable {
  readonly #client: UdpSocket;
  readonly #server: UdpSocket;
  #answered = 0;

  constructor(from: TestPod, to: TestPod, family: 0 | 1 = 0) {
    const [client, server] = [from, to].map(({ netns, ips }) => udpSocketIn(netns, ips[family]!)) as [
      UdpSocket,
      UdpSocket,
    ];
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
