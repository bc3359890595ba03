// CNI ADD and DEL, one by one and 50 at once: our thin client with an agent, our plugin alone, inside a node's agent, and the Go chain.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inNetns, removeNamespace } from '../src/sys/netns.ts';
import { startAgent, thinClient } from '../test/cni/agent-world.ts';
import { plugin, REFERENCE, World } from '../test/cni/world.ts';
import { ClusterNet } from '../test/node/cluster-net.ts';
import { awaitAny, type Program, start } from './launcher.ts';
import { median, printMachine, quantile } from './measure.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 20);
/** `ONLY='thin client|bridge'`: those contestants alone whose names have that in them. */
const ONLY = new RegExp(process.env['ONLY'] ?? '');
const AT_ONCE = 50;
/** The last of fifty is a matter of luck on a machine that others use too: each batch is told, and their median. */
const BATCHES = Number(process.env['BATCHES'] ?? 7);
/** The kernel takes removed namespaces apart in the background, under the lock that links are made with: nobody's start is to wait for that. */
const REST_MS = { one: 60, batch: 1500 };

/** What one container costs, in milliseconds. */
interface Samples {
  readonly add: number[];
  readonly del: number[];
  /** From the moment when the first of fifty was asked for. */
  readonly addAtOnce: number[];
  readonly delAtOnce: number[];
}

interface Pod {
  readonly id: string;
  readonly netns: string;
  readonly port: number;
}

/** A program of a container's chain: what it reads is known when it is its turn. */
interface Step {
  readonly program: string;
  readonly stdin: () => string;
  readonly stdout?: string;
}

interface Contestant {
  readonly name: string;
  steps(verb: 'ADD' | 'DEL', pod: Pod, file: (name: string, content: object) => string): Step[];
}

let port = 20_000;

function programOf({ program, stdin, stdout = '/dev/null' }: Step, verb: string, { id, netns }: Pod): Program {
  const variables = { CNI_COMMAND: verb, CNI_CONTAINERID: id, CNI_NETNS: netns, CNI_IFNAME: 'eth0' };
  const environment = { PATH: process.env['PATH'] ?? '', ...variables, CNI_PATH: `${dirname(program)}:${REFERENCE}` };
  return { path: program, environment, stdin: stdin(), stdout };
}

function ours(name: string, world: World, program: string, ports: boolean): Contestant {
  return {
    name: `${name}${ports ? ', ipMasq and a port' : ''}`,
    steps: (_, pod, file) => {
      const runtimeConfig = ports ? { portMappings: [{ hostPort: pod.port, containerPort: 80 }] } : {};
      const config = file(`${pod.id}.conf`, world.config({ ipMasq: ports, runtimeConfig }));
      return [{ program, stdin: () => config }];
    },
  };
}

/** As libcni runs a conflist: each plugin with the result of the one before. */
function reference(world: World, ports: boolean): Contestant {
  const ipam = { type: 'host-local', dataDir: join(world.dir, 'host-local'), ranges: [[{ subnet: '10.33.0.0/16' }]] };
  const common = { cniVersion: '1.0.0', name: 'bench' };
  const bridge = { ...common, type: 'bridge', bridge: 'cni-bench', isDefaultGateway: true, ipMasq: ports, ipam };
  return {
    name: `bridge + host-local${ports ? ' + portmap, ipMasq and a port' : ''}`,
    steps: (verb, pod, file) => {
      const config = file(`${pod.id}.conf`, bridge);
      const result = `${config}.result`;
      const runtimeConfig = { portMappings: [{ hostPort: pod.port, containerPort: 80, protocol: 'tcp' }] };
      const withResult = () => {
        const prevResult: unknown = JSON.parse(readFileSync(result, 'utf8'));
        return file(`${pod.id}.portmap`, { ...common, type: 'portmap', snat: true, runtimeConfig, prevResult });
      };
      const first: Step = {
        program: join(REFERENCE, 'bridge'),
        stdin: () => config,
        ...(verb === 'ADD' && { stdout: result }),
      };
      const portmap: Step[] = ports ? [{ program: join(REFERENCE, 'portmap'), stdin: withResult }] : [];
      return verb === 'ADD' ? [first, ...portmap] : [...portmap, first];
    },
  };
}

/** What of the others' time is the starting of programs alone. */
function nothing(world: World): Contestant {
  return {
    name: 'no plugin: /bin/true, started in the same way',
    steps: (_, pod, file) => {
      const config = file(`${pod.id}.conf`, world.config());
      return [{ program: '/bin/true', stdin: () => config }];
    },
  };
}

interface Chain {
  readonly pod: Pod;
  readonly steps: readonly Step[];
}

class Runner {
  readonly #world: World;
  readonly #dir: string;
  #count = 0;

  constructor(world: World) {
    this.#world = world;
    this.#dir = join(world.dir, 'bench');
    mkdirSync(this.#dir);
  }

  pods(count: number): Pod[] {
    return Array.from({ length: count }, () => {
      const id = `b${this.#count++}`;
      return { id, netns: this.#world.container(), port: port++ };
    });
  }

  readonly #file = (name: string, content: object): string => {
    const path = join(this.#dir, name);
    writeFileSync(path, JSON.stringify(content));
    return path;
  };

  /** Milliseconds of each; at once: each one's end, counted from the beginning of all. */
  run(contestant: Contestant, verb: 'ADD' | 'DEL', pods: readonly Pod[], atOnce: boolean): number[] {
    const chains = pods.map((pod) => ({ pod, steps: contestant.steps(verb, pod, this.#file) }));
    return inNetns(this.#world.node, () => {
      if (atOnce) return this.#runAll(contestant, verb, chains);
      return chains.flatMap((chain) => this.#runAll(contestant, verb, [chain]));
    });
  }

  #runAll({ name }: Contestant, verb: 'ADD' | 'DEL', chains: readonly Chain[]): number[] {
    const running = new Map<number, Chain>();
    const begin = ({ pod, steps: [step, ...steps] }: Chain) =>
      running.set(start(programOf(step!, verb, pod)), { pod, steps });
    const times: number[] = [];
    const started = performance.now();
    for (const chain of chains) begin(chain);
    while (running.size > 0) {
      const { pid, status } = awaitAny();
      const chain = running.get(pid);
      if (!chain || status !== 0) throw new Error(`${name}: ${verb} failed`);
      running.delete(pid);
      if (chain.steps.length > 0) begin(chain);
      else times.push(performance.now() - started);
    }
    return times;
  }

  async measure(contestants: readonly Contestant[]): Promise<Map<Contestant, Samples>> {
    const samples = new Map(contestants.map((each) => [each, emptySamples()]));
    // A node has containers already, with whose first came bridges, tables and chains.
    for (const each of contestants) this.run(each, 'ADD', this.pods(1), false);
    // The first warms caches.
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [each, { add, del }] of samples) {
        const pods = this.pods(1);
        const times = [this.run(each, 'ADD', pods, false), this.run(each, 'DEL', pods, false)];
        if (round > 0) {
          add.push(...times[0]!);
          del.push(...times[1]!);
        }
        for (const { netns } of pods) removeNamespace(netns);
        await sleep(REST_MS.one);
      }
    }
    for (let batch = 0; batch < BATCHES; batch++) {
      for (const [each, { addAtOnce, delAtOnce }] of samples) {
        const pods = this.pods(AT_ONCE);
        addAtOnce.push(...this.run(each, 'ADD', pods, true));
        delAtOnce.push(...this.run(each, 'DEL', pods, true));
        for (const { netns } of pods) removeNamespace(netns);
        await sleep(REST_MS.batch);
      }
    }
    return samples;
  }
}

function emptySamples(): Samples {
  return { add: [], del: [], addAtOnce: [], delAtOnce: [] };
}

/** What a pod of the cluster's own costs its node's agent. */
async function insideAgent(runner: Runner): Promise<Samples> {
  using net = new ClusterNet(`bench${process.pid}`, [
    { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/16'] },
  ]);
  const { network } = net.nodes[0]!;
  const samples = emptySamples();
  const attach = ({ id, netns, port: hostPort }: Pod) => {
    const names = { podUid: id, podNamespace: 'default', podName: id };
    network.attach({
      sandboxId: id,
      netns,
      ...names,
      hostPorts: [{ hostPort, containerPort: 80, protocol: 'tcp' }],
    });
  };
  const timed = (work: () => void, into: number[], start = performance.now()) => {
    work();
    into.push(performance.now() - start);
  };
  // As for the others: there is a container already.
  for (const pod of runner.pods(1)) attach(pod);
  for (let round = 0; round <= ROUNDS; round++) {
    const [pod] = runner.pods(1);
    timed(() => attach(pod!), round === 0 ? [] : samples.add);
    timed(() => network.detach(pod!.id), round === 0 ? [] : samples.del);
    removeNamespace(pod!.netns);
    await sleep(REST_MS.one);
  }
  for (let batch = 0; batch < BATCHES; batch++) {
    const pods = runner.pods(AT_ONCE);
    const start = performance.now();
    for (const pod of pods) timed(() => attach(pod), samples.addAtOnce, start);
    const end = performance.now();
    for (const { id } of pods) timed(() => network.detach(id), samples.delAtOnce, end);
    for (const { netns } of pods) removeNamespace(netns);
    await sleep(REST_MS.batch);
  }
  return samples;
}

/** When all fifty of a batch were done: the smallest, the median and the largest of the batches. */
function lastOfBatches(times: readonly number[]): string {
  const lasts = Array.from({ length: times.length / AT_ONCE }, (_, i) =>
    Math.max(...times.slice(i * AT_ONCE, (i + 1) * AT_ONCE)),
  );
  const [least, most] = [Math.min(...lasts), Math.max(...lasts)];
  return `; the last of ${AT_ONCE} after ${median(lasts).toFixed(0)} ms (${least.toFixed(0)}-${most.toFixed(0)} in ${lasts.length} batches)`;
}

function report(name: string, each: Samples, peer: Samples | undefined): void {
  const isPlugin = !name.startsWith('no plugin');
  console.log(name);
  for (const what of ['add', 'del', 'addAtOnce', 'delAtOnce'] as const) {
    const ratio =
      isPlugin && peer ? `, ${(median(peer[what]) / median(each[what])).toFixed(2)} x as fast as the Go chain` : '';
    const figures = `median ${median(each[what]).toFixed(2)} ms, p99 ${quantile(each[what], 0.99).toFixed(2)} ms`;
    console.log(`  ${what.padEnd(9)} ${figures}${what.endsWith('AtOnce') ? lastOfBatches(each[what]) : ''}${ratio}`);
  }
}

printMachine();
const hasReference = existsSync(join(REFERENCE, 'portmap'));
if (!hasReference) console.log(`peer: the reference plugins are not in ${REFERENCE}; not run`);
{
  using world = new World();
  await using _ = await startAgent(world);
  const client = thinClient(world, '/nonexistent');
  const runner = new Runner(world);
  const contestants = [false, true].flatMap((ports) => [
    ours('podwire-cni, thin client and agent', world, client, ports),
    ours('podwire-cni alone', world, plugin(), ports),
    ...(hasReference ? [reference(world, ports)] : []),
  ]);
  const chosen = contestants.filter(({ name }) => ONLY.test(name));
  const started = performance.now();
  const samples = await runner.measure([nothing(world), ...chosen]);
  const peer = [...samples].find(([{ name }]) => name.startsWith('bridge + host-local + portmap'))?.[1];
  for (const [{ name }, each] of samples) report(name, each, peer);
  report('podwire: inside the agent of a node, with a port', await insideAgent(runner), peer);
  console.log(`took ${((performance.now() - started) / 1000).toFixed(0)} s`);
}
