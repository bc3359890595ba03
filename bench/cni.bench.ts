// CNI ADD and DEL, one by one and 50 at once: our plugin as a program, our agent, and the Go chain bridge + host-local + portmap.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { removeNamespace } from '../src/sys/netns.ts';
import { type Call, plugin, REFERENCE, World } from '../test/cni/world.ts';
import { ClusterNet } from '../test/node/cluster-net.ts';
import { median, printMachine, quantile } from './measure.ts';

const ROUNDS = 20;
const AT_ONCE = 50;

interface Contestant {
  readonly name: string;
  add(id: string, netns: string): Promise<void>;
  del(id: string, netns: string): Promise<void>;
}

function ours(world: World, ports: boolean): Contestant {
  const base = world.config({ ipMasq: ports });
  const call = (verb: string, id: string, netns: string) => {
    const runtimeConfig = ports ? { portMappings: [{ hostPort: portOf(id), containerPort: 80 }] } : {};
    return world.must(verb, { ...base, runtimeConfig }, { netns, container: id });
  };
  return {
    name: ports ? 'podwire-cni with ipMasq and a port' : 'podwire-cni',
    add: (id, netns) => call('ADD', id, netns),
    del: (id, netns) => call('DEL', id, netns),
  };
}

let port = 20_000;
const ports = new Map<string, number>();
function portOf(id: string): number {
  if (!ports.has(id)) ports.set(id, port++);
  return ports.get(id)!;
}

/** As libcni runs a conflist: each plugin with the result of the one before. */
function reference(world: World, withPorts: boolean): Contestant {
  const ipam = { type: 'host-local', dataDir: join(world.dir, 'host-local'), ranges: [[{ subnet: '10.33.0.0/16' }]] };
  const bridge = { type: 'bridge', bridge: 'cni-bench', isDefaultGateway: true, ipMasq: withPorts, ipam };
  const results = new Map<string, object>();
  const run = (verb: string, type: string, config: object, call: Call) =>
    world.must(verb, { cniVersion: '1.0.0', name: 'bench', ...config }, { ...call, program: join(REFERENCE, type) });
  const portmap = (id: string) => ({
    type: 'portmap',
    snat: true,
    prevResult: results.get(id),
    runtimeConfig: { portMappings: [{ hostPort: portOf(id), containerPort: 80, protocol: 'tcp' }] },
  });
  return {
    name: withPorts ? 'bridge + host-local + portmap, ipMasq and a port' : 'bridge + host-local',
    add: async (container, netns) => {
      results.set(container, await run('ADD', 'bridge', bridge, { netns, container }));
      if (withPorts) await run('ADD', 'portmap', portmap(container), { netns, container });
    },
    del: async (container, netns) => {
      if (withPorts) await run('DEL', 'portmap', portmap(container), { netns, container });
      await run('DEL', 'bridge', { ...bridge, prevResult: results.get(container) }, { netns, container });
    },
  };
}

function agent(net: ClusterNet): Contestant {
  const { network } = net.nodes[0]!;
  return {
    name: 'podwire agent',
    add: async (id, netns) => {
      network.attach({ sandboxId: id, netns, podUid: id, podNamespace: 'default', podName: id });
    },
    del: async (id) => network.detach(id),
  };
}

interface Samples {
  readonly add: number[];
  readonly del: number[];
  readonly addAtOnce: number[];
  readonly delAtOnce: number[];
}

async function timed(work: () => Promise<void>, into: number[], start = performance.now()): Promise<void> {
  await work();
  into.push(performance.now() - start);
}

async function measure(contestants: readonly Contestant[], world: World): Promise<Map<Contestant, Samples>> {
  const samples = new Map(
    contestants.map((each) => [each, { add: [], del: [], addAtOnce: [], delAtOnce: [] } as Samples]),
  );
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [each, { add, del }] of samples) {
      const netns = world.container();
      // The first round warms caches, and makes bridges and tables.
      await timed(() => each.add(`r${round}`, netns), round === 0 ? [] : add);
      await timed(() => each.del(`r${round}`, netns), round === 0 ? [] : del);
      removeNamespace(netns);
    }
  }
  for (const [each, { addAtOnce, delAtOnce }] of samples) {
    const pods = Array.from({ length: AT_ONCE }, (_, i) => [`m${i}`, world.container()] as const);
    const start = performance.now();
    await Promise.all(pods.map(([id, netns]) => timed(() => each.add(id, netns), addAtOnce, start)));
    const end = performance.now();
    await Promise.all(pods.map(([id, netns]) => timed(() => each.del(id, netns), delAtOnce, end)));
  }
  return samples;
}

printMachine();
const hasReference = existsSync(join(REFERENCE, 'portmap'));
if (!hasReference) console.log(`peer: the reference plugins are not in ${REFERENCE}; not run`);
{
  using world = new World();
  using net = new ClusterNet(`bench${process.pid}`, [
    { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/16'] },
  ]);
  plugin();
  const contestants = [
    ours(world, false),
    ...(hasReference ? [reference(world, false)] : []),
    ours(world, true),
    ...(hasReference ? [reference(world, true)] : []),
    agent(net),
  ];
  report(await measure(contestants, world));
}

function report(samples: ReadonlyMap<Contestant, Samples>): void {
  const peer = [...samples].find(([{ name }]) => name.startsWith('bridge + host-local + portmap'))?.[1];
  for (const [{ name }, each] of samples) {
    console.log(name);
    for (const what of ['add', 'del', 'addAtOnce', 'delAtOnce'] as const) {
      const ratio = peer ? `, ${(median(peer[what]) / median(each[what])).toFixed(2)} x as fast as the Go chain` : '';
      const figures = `median ${median(each[what]).toFixed(2)} ms, p99 ${quantile(each[what], 0.99).toFixed(2)} ms`;
      console.log(`  ${what.padEnd(9)} ${figures}${ratio}`);
    }
  }
}
