// What a cluster costs as it grows (10, 50, 100 nodes): start, memory, rest; and one more node, pod, endpoint or heartbeat: time, and CPU of all.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '../src/client/client.ts';
import { openKubeconfig } from '../src/client/kubeconfig.ts';
import { enterNetns } from '../src/sys/netns.ts';
import { Machine } from '../test/cluster/machine.ts';
import { EndpointChange, heartbeat, nodeTold, podReached, untilAllKnow } from './fabric-changes.ts';
import { median, printMachine } from './measure.ts';
import { DaemonCpu, type Spent } from './thread-cpu.ts';

const SIZES = (process.env['PODWIRE_BENCH_NODES'] ?? '10,50,100').split(',').map(Number);
const NODES_ADDED = 3;
const PODS = 3;
const ENDPOINTS = 10;
const HEARTBEATS = 20;
/** After a start threads still compile and collect for a while. */
const SETTLE_MS = 8000;
const IDLE_MS = 4000;
const MIB = 1024;

/** By its title, one figure for each size. */
type Figures = Map<string, number>;

function daemonPid(machine: Machine): number {
  const file = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
  return (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid;
}

/** API server, controllers and agents are one process; without pods there is no other. */
function pssMiB(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))![1]) / MIB;
}

function cpuMs(pid: number): number {
  const ticks = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  const perSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return ((Number(ticks[11]) + Number(ticks[12])) / perSecond) * 1000;
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
      const neighbour = 'neigh add 10.200.200.0 lladdr 02:76:ac:1e:00:c8 dev vx nud permanent\n';
      const route = 'route add 10.200.200.0/24 via 10.200.200.0 dev vx onlink\n';
      run('ip', ['-n', name, '-batch', '-'], neighbour + route);
      run('bridge', ['-n', name, '-batch', '-'], 'fdb add 02:76:ac:1e:00:c8 dev vx dst 172.30.0.200\n');
    }
    return performance.now() - began;
  } finally {
    for (const name of names) run('ip', ['netns', 'del', name]);
  }
}

interface Sample {
  readonly ms: number;
  readonly spent: Spent;
}

class Cluster {
  readonly #machine: Machine;
  readonly #client: Client;
  readonly #cpu: DaemonCpu;
  readonly #nodes: string[];

  constructor(machine: Machine, cpu: DaemonCpu, size: number) {
    this.#machine = machine;
    this.#cpu = cpu;
    this.#client = new Client(openKubeconfig(machine.env['KUBECONFIG']!));
    this.#nodes = Array.from({ length: size }, (_, i) => `node-${i + 1}`);
  }

  #paths(): string[] {
    return this.#nodes.map((node) => `/run/netns/pw-${this.#machine.cluster}-${node}`);
  }

  async #sample(work: () => Promise<number>, node?: string): Promise<Sample> {
    const { result, spent } = await this.#cpu.of(work, node);
    return { ms: result, spent };
  }

  /** CPU alone, of one of many. */
  async heartbeats(): Promise<Sample[]> {
    const node = this.#nodes.at(-1)!;
    const work = async () => {
      for (let i = 1; i <= HEARTBEATS; i++) await heartbeat(this.#client, node, i);
    };
    const { spent } = await this.#cpu.of(work, node);
    const { others, own, rest } = spent;
    return [{ ms: 0, spent: { others: others / HEARTBEATS, own: own / HEARTBEATS, rest: rest / HEARTBEATS } }];
  }

  /** The first brings what every agent has to compile. */
  async endpoints(): Promise<Sample[]> {
    using change = await EndpointChange.begin(this.#client, this.#paths());
    const samples: Sample[] = [];
    for (let i = 0; i <= ENDPOINTS; i++) samples.push(await this.#sample(() => change.add(`10.200.1.${i + 1}`)));
    return samples.slice(1);
  }

  async pods(): Promise<Sample[]> {
    const [from, node] = [this.#paths()[0]!, this.#nodes.at(-1)!];
    const samples: Sample[] = [];
    for (let i = 0; i <= PODS; i++)
      samples.push(await this.#sample(() => podReached(this.#client, `web-${i}`, node, from), node));
    return samples.slice(1);
  }

  /** The time is from the moment in which its Node is in the API. */
  async nodes(): Promise<Sample[]> {
    const samples: Sample[] = [];
    for (let i = 0; i < NODES_ADDED; i++) {
      const name = `node-${this.#nodes.length + 1}`;
      const told = await nodeTold(this.#client, name);
      const known = untilAllKnow(this.#paths(), `10.200.${this.#nodes.length}.0/24`);
      const work = async () => {
        await this.#machine.mustPodwire('node', 'add');
        return (await known.done) - told.at();
      };
      samples.push(await this.#sample(work, name));
      known.close();
      told.close();
      this.#nodes.push(name);
    }
    return samples;
  }

  close(): void {
    this.#client.transport.close();
  }
}

function note(figures: Figures, what: string, samples: readonly Sample[]): void {
  const of = (pick: (sample: Sample) => number) => median(samples.map(pick));
  // Of heartbeats nobody waits for the end; some others come before we are told of their beginning.
  if (samples.some(({ ms }) => ms > 0))
    figures.set(
      `${what}: ms`,
      of(({ ms }) => ms),
    );
  figures.set(
    `${what}: ms of CPU of all other agents together`,
    of(({ spent }) => spent.others),
  );
  figures.set(
    `${what}: ms of CPU of the rest`,
    of(({ spent }) => spent.own + spent.rest),
  );
}

async function measure(size: number): Promise<Figures> {
  await using machine = await Machine.create('fabric');
  const config = join(machine.state, 'config.json');
  writeFileSync(config, '{"network":{"podCIDRs":["10.200.0.0/16"]}}');
  const began = performance.now();
  await machine.mustPodwire('up', '--nodes', String(size), '--config', config);
  const start = performance.now() - began;
  const pid = daemonPid(machine);
  const figures: Figures = new Map([
    ['up, all nodes Ready and answering DNS: s', start / 1000],
    ['up: ms of CPU a node', cpuMs(pid) / size],
    ['up: MiB a node (PSS of all)', pssMiB(pid) / size],
  ]);
  const cpu = new DaemonCpu(pid);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  figures.set('at rest: MiB a node (PSS of all)', pssMiB(pid) / size);
  figures.set('at rest: % of one CPU a node', ((await cpu.learnIdle(IDLE_MS)) * 100) / size);
  enterNetns(`/run/netns/${machine.netns}`);
  const cluster = new Cluster(machine, cpu, size);
  note(figures, 'heartbeat of a node', await cluster.heartbeats());
  note(figures, 'endpoint more, until every kernel has it', await cluster.endpoints());
  note(figures, 'pod more, until another node reaches it', await cluster.pods());
  note(figures, 'node more, until every kernel has its route, neighbour, FDB entry', await cluster.nodes());
  figures.set('the same entries by ip -batch, one namespace after the other: ms', byScript(size));
  cluster.close();
  return figures;
}

function print(all: readonly Figures[]): void {
  const text = (value: number) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2));
  const cell = (value: number) => (Number.isNaN(value) ? '-' : text(value)).padStart(9);
  const ratios = SIZES.slice(1).map((size) => `${size}/${SIZES[0]}`.padStart(9));
  console.log(`${[...SIZES.map((size) => `${size} nodes`.padStart(9)), ...ratios].join('')}`);
  for (const title of all[0]!.keys()) {
    const values = all.map((figures) => figures.get(title) ?? Number.NaN);
    const against = values.slice(1).map((value) => value / values[0]!);
    console.log(`${[...values, ...against].map(cell).join('')}  ${title}`);
  }
}

printMachine();
const all: Figures[] = [];
for (const size of SIZES) all.push(await measure(size));
print(all);
console.log(
  'a ratio of 1: it costs the same, however many nodes there are; of all agents together it can be no less than the nodes, where each must know\n' +
    'peer: nothing else on this machine runs clusters without an image registry; kernel state alone by ip -batch',
);
process.exit(0);
