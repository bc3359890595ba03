// LoadBalancer failover: how long a client beside the cluster that connects every 10 ms cannot, when the answering node is cut off, stops, or gives the address away.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { BalancedAddress } from '../src/cluster/load-balancer.ts';
import { type Attempt, blackoutOf } from '../src/lb/blackout.ts';
import { Machine, until } from '../test/cluster/machine.ts';
import { outsideHost } from '../test/cluster/outside.ts';
import { startCluster } from '../test/overlay/overlay-cluster.ts';
import { keepalivedPair } from './keepalived.ts';
import { printMachine, printSamples } from './measure.ts';

const ROUNDS = 5;
const NETWORK = { nodeCIDRs: ['172.30.88.0/24'], podCIDRs: ['10.188.0.0/16'], serviceCIDRs: ['10.88.0.0/16'] };
const ADDRESS = '172.30.88.200';
const SETTLED = 20;

printMachine();
await using machine = await Machine.create('blb');
await startCluster(machine, NETWORK, 3);
await using outside = await outsideHost(machine, '172.30.88.99');
const ports = [{ port: 80, targetPort: 8080 }];
const spec = { type: 'LoadBalancer', selector: { app: 'echo' }, ports };
await machine.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec }));
await until(
  'the Service answers',
  async () => (await outside.run('curl', ['-s', '-m2', `http://${ADDRESS}/hostname`])) !== '',
);

/** A client on a thread of its own, in the namespace. */
function startClient(netns: string, ip: string) {
  const worker = new Worker(join(import.meta.dirname, 'lb-client.worker.ts'), { workerData: { netns, ip, port: 80 } });
  const ask = <T>(question: string) =>
    new Promise<T>((resolve) => {
      worker.once('message', resolve);
      worker.postMessage(question);
    });
  return {
    take: () => ask<Attempt[]>('take'),
    /** The last 0.3 s went well. */
    settled: () => until('the client connects', async () => (await ask<number>('mark')) >= SETTLED),
    close: () => worker.postMessage('close'),
  };
}

const client = startClient(`/run/netns/${machine.netns}-out`, ADDRESS);
const others = ['node-1', 'node-2', 'node-3'];

async function holder(not?: string): Promise<string> {
  return until('a node answers', async () => {
    const rows = JSON.parse(await machine.mustPodwire('lb', '-o', 'json')) as BalancedAddress[];
    const node = rows.find((row) => row.address === ADDRESS)?.node;
    return node !== undefined && node !== not && node;
  });
}

async function measure(
  label: string,
  happen: (node: string) => Promise<unknown>,
  undo: (node: string) => Promise<unknown>,
  moves = true,
) {
  const gaps: number[] = [];
  let failed = 0;
  let attempts = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const node = await holder();
    await client.settled();
    await client.take();
    await happen(node);
    await holder(moves ? node : undefined);
    await client.settled();
    const found = blackoutOf(await client.take());
    gaps.push(found.longestGapMs);
    failed += found.failed;
    attempts += found.attempts;
    await undo(node);
  }
  printSamples(label, gaps);
  console.log(`  ${failed} of ${attempts} attempts failed; rounds: ${gaps.join(', ')} ms`);
}

const verb = (...words: string[]) => machine.mustPodwire(...words);
const ready = (node: string) => machine.kubectl('wait', '--for=condition=Ready', `node/${node}`, '--timeout=60s');

await measure(
  'nothing happens',
  () => Promise.resolve(),
  () => Promise.resolve(),
  false,
);
await measure(
  'the node is cut off (its plug is pulled)',
  (node) => verb('node', 'isolate', node),
  async (node) => {
    await verb('node', 'heal', node);
    await ready(node);
  },
);
await measure(
  'the node stops',
  (node) => verb('node', 'stop', node),
  async (node) => {
    await verb('node', 'start', node);
    await ready(node);
  },
);
await measure(
  'its agent dies and stays away (node kill --stay)',
  (node) => verb('node', 'kill', node, '--stay'),
  async (node) => {
    await verb('node', 'start', node);
    await ready(node);
  },
);
await measure(
  'its agent dies and comes back (node kill)',
  async (node) => {
    await verb('node', 'kill', node);
    await holder();
  },
  ready,
  false,
);
await measure(
  'the address is moved on purpose (lb rehearse --stay)',
  (node) => {
    return verb('lb', 'rehearse', 'svc/web', '--stay', '--to', others.find((name) => name !== node)!);
  },
  () => Promise.resolve(),
);
await measure(
  'kill -9 of the daemon, with all agents, and podwire up',
  async () => {
    const file = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
    const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number };
    if (pid > 1) process.kill(pid, 'SIGKILL');
    await verb('up');
  },
  () => Promise.resolve(),
  false,
);
client.close();

/** Debian's keepalived, its plug pulled in the same way. */
async function measurePeer(advertSeconds: number, rounds: number): Promise<void> {
  using pair = keepalivedPair(advertSeconds);
  if (!pair) return console.log('peer: keepalived is not installed (apt-get install keepalived); not run');
  await until('keepalived has the address', async () => pair.holder() !== undefined);
  const peerClient = startClient(pair.netns, pair.address);
  const gaps: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await peerClient.settled();
    await peerClient.take();
    const node = pair.holder()!;
    pair.plug(node, false);
    await until('the other has it', async () => pair.holder() !== undefined);
    await peerClient.settled();
    gaps.push(blackoutOf(await peerClient.take()).longestGapMs);
    pair.plug(node, true);
    // Both have it until the one that comes back hears the other.
    await until('one has it', async () => !pair.both());
  }
  peerClient.close();
  printSamples(`peer: keepalived with advert_int ${advertSeconds}, cut off`, gaps);
}

await measurePeer(1, 3);
await measurePeer(0.1, 5);
console.log('goal: < 1000 ms. A gap of 10 ms is the client’s own rhythm.');
