// What a pod receives and sends keeps to its limits: real bytes over TCP, both directions, and a pod that is made anew.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer, Socket } from 'node:net';
import { after, before, test } from 'node:test';
import type { Bandwidth } from '../../src/plan/bandwidth.ts';
import { podLinkName } from '../../src/plan/pods.ts';
import { socketIn } from '../../src/sys/netns.ts';
import { listenOn } from '../../src/sys/socket.ts';
import { ClusterNet, type TestPod } from './cluster-net.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const NODES = [{ name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/24'] }];
const MBIT = 1_000_000;
/** A tenth of a second at full rate passes at once. */
const LIMIT = { rate: 8 * MBIT, burst: 0.8 * MBIT };
const BYTES = 1_000_000;

let net: ClusterNet;
let peer: TestPod;

before(() => {
  if (skip) return;
  net = new ClusterNet(`t${process.pid}w`, NODES);
  peer = net.addPod(net.nodes[0]!, 'peer');
});

after(() => net?.[Symbol.dispose]());

const add = (sandboxId: string, bandwidth: Bandwidth) => net.addPod(net.nodes[0]!, sandboxId, { bandwidth });

/** Bits a second, as the receiver counts them. */
async function rate(from: TestPod, to: TestPod): Promise<number> {
  const server = createServer((socket) => socket.end(Buffer.alloc(BYTES)));
  await new Promise<void>((resolve) =>
    server.listen({ fd: listenOn(socketIn(from.netns, 'inet', 'stream'), from.ip, 0) }, resolve),
  );
  const { port } = server.address() as { port: number };
  try {
    const start = performance.now();
    const received = await receive(to, from.ip, port);
    assert.equal(received, BYTES);
    return (8 * BYTES) / ((performance.now() - start) / 1000);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

async function receive(by: TestPod, ip: string, port: number): Promise<number> {
  const socket = new Socket({ fd: socketIn(by.netns, 'inet', 'stream'), readable: true, writable: true });
  let received = 0;
  try {
    return await new Promise((resolve, reject) => {
      socket.on('data', (chunk) => {
        received += chunk.length;
      });
      socket.on('error', reject).on('end', () => resolve(received));
      socket.setTimeout(30_000, () => reject(new Error('the stream stands still')));
      socket.connect(port, ip);
    });
  } finally {
    socket.destroy();
  }
}

/** A limit holds whatever else the machine does; that there is none shows in one of some tries. */
async function exceeds(bits: number, from: TestPod, to: TestPod): Promise<boolean> {
  for (let i = 0; i < 20; i++) if ((await rate(from, to)) > bits) return true;
  return false;
}

const limited = async (from: TestPod, to: TestPod) =>
  assert.ok((await rate(from, to)) < 1.5 * LIMIT.rate, 'keeps to the limit');
const free = async (from: TestPod, to: TestPod) =>
  assert.ok(await exceeds(3 * LIMIT.rate, from, to), 'goes beyond the limit of the other direction');

function qdisc(netns: string, link: string): unknown {
  const text = execFileSync('nsenter', [`--net=${netns}`, 'tc', '-j', 'qdisc', 'show', 'dev', link], {
    encoding: 'utf8',
  });
  const [{ kind, options }] = JSON.parse(text);
  return kind === 'tbf' ? options.rate * 8 : kind;
}

test('ingress: what the pod receives is limited, what it sends is not', { skip }, async () => {
  const pod = add('in', { ingress: LIMIT });
  await limited(peer, pod);
  await free(pod, peer);
  assert.equal(qdisc(pod.node.netns, podLinkName('in')), LIMIT.rate);
  assert.equal(qdisc(pod.netns, 'eth0'), 'noqueue');
});

test('egress: what the pod sends is limited, what it receives is not', { skip }, async () => {
  const pod = add('out', { egress: LIMIT });
  await limited(pod, peer);
  await free(peer, pod);
  assert.equal(qdisc(pod.node.netns, podLinkName('out')), 'noqueue');
  assert.equal(qdisc(pod.netns, 'eth0'), LIMIT.rate);
});

test('both at once, and a pod that is made anew has its new limits', { skip }, async () => {
  const pod = add('both', { ingress: LIMIT, egress: LIMIT });
  await limited(peer, pod);
  await limited(pod, peer);
  net.detach(pod);
  const faster = { rate: 10 * LIMIT.rate, burst: 10 * LIMIT.burst };
  const again = net.attach(net.nodes[0]!, 'both', { bandwidth: { ingress: faster } });
  assert.equal(qdisc(again.node.netns, podLinkName('both')), faster.rate);
  assert.equal(qdisc(again.netns, 'eth0'), 'noqueue');
  await free(again, peer);
  assert.ok(await exceeds(2 * LIMIT.rate, peer, again), 'receives more than it did');
});

test('an agent that is started again leaves the limits of its pods, and puts back one that is gone', { skip }, () => {
  const bandwidth = { ingress: LIMIT };
  const pod = add('kept', bandwidth);
  const link = podLinkName('kept');
  execFileSync('nsenter', [`--net=${pod.node.netns}`, 'tc', 'qdisc', 'del', 'dev', link, 'root']);
  const restarted = net.startNode(NODES[0]!);
  try {
    net.attach(restarted, 'kept', { bandwidth });
    assert.equal(qdisc(pod.node.netns, link), LIMIT.rate);
  } finally {
    restarted.reconciler.close();
    restarted.kernel.close();
  }
});
