// Pod create-to-ready for 1 and for 100 pods, and memory per node and per pod.
import { readdirSync, readFileSync } from 'node:fs';
import { Client } from '../src/client/client.ts';
import { openKubeconfig } from '../src/client/kubeconfig.ts';
import type { Draft, Pod } from '../src/objects/types.ts';
import { enterNetns } from '../src/sys/netns.ts';
import { Machine } from '../test/cluster/machine.ts';
import { printMachine, printSamples } from './measure.ts';

const SINGLE = 20;
const MANY = 100;

function draft(name: string): Draft<Pod> {
  const container = {
    name: 'c',
    image: 'podwire.io/agnhost',
    args: ['netexec', '--http-port=8080'],
    readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
  };
  return {
    metadata: { name, namespace: 'default' },
    spec: { terminationGracePeriodSeconds: 0, containers: [container] },
  } as unknown as Draft<Pod>;
}

/** Milliseconds from just before the create until the watch shows Ready, per pod. */
async function createToReady(client: Client, names: readonly string[]): Promise<number[]> {
  const start = new Map<string, number>();
  const took = new Map<string, number>();
  const all = Promise.withResolvers<void>();
  const { metadata } = await client.list('Pod', { namespace: 'default' });
  const options = { namespace: 'default', resourceVersion: metadata.resourceVersion };
  const watch = client.watch('Pod', options, ({ object }) => {
    const pod = object as Pod;
    const ready = pod.status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True');
    const name = pod.metadata.name;
    if (!ready || took.has(name) || !start.has(name)) return;
    took.set(name, performance.now() - start.get(name)!);
    if (took.size === names.length) all.resolve();
  });
  await Promise.all(
    names.map((name) => {
      start.set(name, performance.now());
      return client.create('Pod', draft(name));
    }),
  );
  await all.promise;
  watch.stop();
  return [...took.values()];
}

async function removeAll(client: Client, names: readonly string[]): Promise<void> {
  for (const name of names) await client.delete('Pod', name, 'default', { gracePeriodSeconds: 0 });
  while ((await client.list('Pod', { namespace: 'default' })).items.length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Proportional set size in MiB, summed over the processes whose command line matches. */
function pssMiB(matches: (command: string) => boolean): number {
  let kib = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if (!matches(readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' '))) continue;
      kib += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1] ?? 0);
    } catch {
      // ended meanwhile
    }
  }
  return kib / 1024;
}

/** The daemon by its cluster's name; conmons by their files; programs are counted wherever they are, so run this bench alone. */
const daemonMiB = (cluster: string) =>
  pssMiB((command) => /daemon\.(js|ts) /.test(command) && command.includes(cluster));
const podMiB = (state: string) =>
  pssMiB((command) => (command.includes(`conmon`) ? command.includes(state) : command.includes('netexec')));

printMachine();
{
  await using machine = await Machine.create('bench');
  enterNetns(`/run/netns/${machine.netns}`);
  await machine.mustPodwire('up', '--nodes', '1');
  const daemon = () => daemonMiB(machine.cluster);
  const pods = () => podMiB(machine.state);
  const oneNode = daemon();
  await machine.mustPodwire('down');
  await machine.mustPodwire('up', '--nodes', '3');
  console.log(`daemon with 1 node ${oneNode.toFixed(0)} MiB, with 3 nodes ${daemon().toFixed(0)} MiB (PSS)`);
  console.log(`memory per node: ${((daemon() - oneNode) / 2).toFixed(1)} MiB`);
  const client = new Client(openKubeconfig(machine.env['KUBECONFIG']!));
  const single: number[] = [];
  for (let i = 0; i <= SINGLE; i++) {
    const [took] = await createToReady(client, [`single-${i}`]);
    if (i > 0) single.push(took!);
    await removeAll(client, [`single-${i}`]);
  }
  printSamples('1 pod, create to ready', single);
  const names = Array.from({ length: MANY }, (_, i) => `many-${i}`);
  const before = { daemon: daemon(), pods: pods() };
  const took = await createToReady(client, names);
  printSamples(`${MANY} pods at once, create to ready`, took);
  console.log(`${MANY} pods at once, all ready: ${Math.max(...took).toFixed(0)} ms`);
  console.log(`memory per pod: ${((pods() - before.pods) / MANY).toFixed(1)} MiB of its own (conmon and program)`);
  console.log(`and in the daemon: ${((daemon() - before.daemon) / MANY).toFixed(2)} MiB`);
  client.transport.close();
}
console.log('peer: none on this machine runs pods without an image registry; not run');
process.exit(0);
