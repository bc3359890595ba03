// What a cluster costs as it grows (10, 50, 100 nodes): start, memory, idle CPU; and how soon all nodes know one that is added.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CIDR } from '../src/addr/prefix.ts';
import { Client } from '../src/client/client.ts';
import { openKubeconfig } from '../src/client/kubeconfig.ts';
import { watchLinks } from '../src/kernel/link-watch.ts';
import type { Node } from '../src/objects/types.ts';
import { enterNetns } from '../src/sys/netns.ts';
import { Machine } from '../test/cluster/machine.ts';
import { printMachine, quantile } from './measure.ts';

const SIZES = (process.env['PODWIRE_BENCH_NODES'] ?? '10,50,100').split(',').map(Number);
const ADDED = 3;
/** After a start threads still compile and collect for a while. */
const SETTLE_SECONDS = 15;
const IDLE_SECONDS = 5;
const TICKS_A_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

function daemonPid(machine: Machine): number {
  const file = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
  return (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid;
}

function pssMiB(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))![1]) / 1024;
}

/** Seconds of both kinds that the process has used. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

async function idleShare(pid: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_SECONDS * 1000));
  const [before, began] = [cpuSeconds(pid), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000));
  return (cpuSeconds(pid) - before) / ((performance.now() - began) / 1000);
}

interface Convergence {
  /** From the call until the command says that the node is Ready. */
  readonly command: number;
  /** From the moment in which the Node is in the API until the last other node has the route, the neighbour and the FDB entry. */
  readonly spread: number;
}

/** Adds one node and hears in each other's namespace when it knows the way. */
async function addOne(machine: Machine, client: Client, nodes: readonly string[], next: number): Promise<Convergence> {
  const prefix: CIDR = `10.200.${next - 1}.0/24`;
  const knownBy = new Map<string, number>();
  const all = Promise.withResolvers<void>();
  const watches = nodes.map((node) => {
    const kinds = new Set<string>();
    const onItem = (item: { kind: string; dst?: string; ip?: string; mac?: string }, gone: boolean) => {
      if (gone) return;
      if (item.kind === 'route' && item.dst === prefix) kinds.add('route');
      if (item.kind === 'neighbour' && item.ip === prefix.slice(0, -3)) kinds.add('neighbour');
      if (item.kind === 'fdb') kinds.add('fdb');
      if (kinds.size < 3 || knownBy.has(node)) return;
      knownBy.set(node, performance.now());
      if (knownBy.size === nodes.length) all.resolve();
    };
    return watchLinks({ onItem, onUnclear: () => {} }, { netns: `/run/netns/pw-${machine.cluster}-${node}` });
  });
  let told = 0;
  const { metadata } = await client.list('Node');
  const stream = client.watch('Node', { resourceVersion: metadata.resourceVersion }, ({ object }) => {
    if ((object as Node).metadata.name === `node-${next}`) told ||= performance.now();
  });
  // What fails here is told by who waits for it.
  stream.done.catch(() => {});
  const began = performance.now();
  await machine.mustPodwire('node', 'add');
  const command = performance.now() - began;
  await all.promise;
  stream.stop();
  for (const watch of watches) watch.close();
  return { command, spread: Math.max(...knownBy.values()) - told };
}

/** What a script with `ip -batch` takes to put the same three entries into as many namespaces, one after the other. */
function byScript(count: number): number {
  const names = Array.from({ length: count }, (_, i) => `pwb-${process.pid}-${i}`);
  const run = (command: string, args: string[], input = '') => spawnSync(command, args, { input });
  try {
    for (const name of names) {
      run('ip', ['netns', 'add', name]);
      run('ip', ['-n', name, 'link', 'add', 'vx', 'up', 'type', 'vxlan', 'id', '1', 'dstport', '8472', 'nolearning']);
    }
    const began = performance.now();
    for (const name of names) {
      run(
        'ip',
        ['-n', name, '-batch', '-'],
        'neigh add 10.200.200.0 lladdr 02:76:ac:1e:00:c8 dev vx nud permanent\n' +
          'route add 10.200.200.0/24 via 10.200.200.0 dev vx onlink\n',
      );
      run('bridge', ['-n', name, '-batch', '-'], 'fdb add 02:76:ac:1e:00:c8 dev vx dst 172.30.0.200\n');
    }
    return performance.now() - began;
  } finally {
    for (const name of names) run('ip', ['netns', 'del', name]);
  }
}

async function measure(size: number): Promise<void> {
  await using machine = await Machine.create('fabric');
  const config = join(machine.state, 'config.json');
  execFileSync('sh', ['-c', `echo '{"network":{"podCIDRs":["10.200.0.0/16"]}}' > ${config}`]);
  const began = performance.now();
  await machine.mustPodwire('up', '--nodes', String(size), '--config', config);
  const start = performance.now() - began;
  const pid = daemonPid(machine);
  const memory = pssMiB(pid);
  const cpu = cpuSeconds(pid);
  const idle = await idleShare(pid);
  enterNetns(`/run/netns/${machine.netns}`);
  const client = new Client(openKubeconfig(machine.env['KUBECONFIG']!));
  const added: Convergence[] = [];
  for (let i = 0; i < ADDED; i++) {
    const nodes = Array.from({ length: size + i }, (_, n) => `node-${n + 1}`);
    added.push(await addOne(machine, client, nodes, size + i + 1));
  }
  client.transport.close();
  const of = (pick: (each: Convergence) => number) => quantile(added.map(pick), 0.5).toFixed(0);
  console.log(
    `${size} nodes: up ${(start / 1000).toFixed(1)} s (${(start / size).toFixed(0)} ms a node, ${((1000 * cpu) / size).toFixed(0)} ms of it CPU), ` +
      `${memory.toFixed(0)} MiB (${(memory / size).toFixed(1)} a node), idle ${(idle * 100).toFixed(1)} % of one CPU; ` +
      `node add: ${of((each) => each.command)} ms till Ready, known by all ${of((each) => each.spread)} ms after its Node is there; ` +
      `the same entries by ip -batch, one namespace after the other: ${byScript(size).toFixed(0)} ms`,
  );
}

printMachine();
for (const size of SIZES) await measure(size);
console.log(
  'peer: nothing else on this machine runs clusters without an image registry; kernel state alone by ip -batch',
);
process.exit(0);
