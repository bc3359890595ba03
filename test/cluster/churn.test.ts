// kill -9 of the daemon while a hundred pods come, go and are replaced: what the API says is what there is afterwards, no more.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Client } from '../../src/client/client.ts';
import { openKubeconfig } from '../../src/client/kubeconfig.ts';
import type { Deployment, Draft, Pod } from '../../src/objects/types.ts';
import { enterNetns } from '../../src/sys/netns.ts';
import { randomFrom, seed, times } from '../long.ts';
import { audit, containerIds, mountsOfPods, untilNothingBesides } from './audit.ts';
import { breakThread } from './break-thread.ts';
import { clusterSkip, inventory, Machine, until } from './machine.ts';

const skip = clusterSkip() ?? false;
let machine: Machine;
let client: Client;

before(async () => {
  if (skip) return;
  machine = await Machine.create('churn');
  enterNetns(`/run/netns/${machine.netns}`);
  await machine.mustPodwire('up', '--nodes', '3');
  client = new Client(openKubeconfig(machine.env['KUBECONFIG']!));
});

after(async () => {
  client?.transport.close();
  await machine?.[Symbol.asyncDispose]();
});

afterEach((t) => {
  if (machine && !(t as { passed?: boolean }).passed) console.error(machine.logEnd());
});

function daemonPid(): number {
  const file = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
  return (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid;
}

async function killDaemon(): Promise<void> {
  process.kill(daemonPid(), 'SIGKILL');
  await until('the daemon is gone', async () => (await machine.podwire('status')).code === 3);
}

const TARGET = { name: 'many', namespace: 'default' };

function many(replicas: number): Draft<Deployment> {
  const labels = { app: 'many' };
  const container = { name: 'c', image: 'podwire.io/agnhost', args: ['pause'], env: [{ name: 'VERSION', value: '1' }] };
  return {
    metadata: TARGET,
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 1, containers: [container] } },
    },
  } as unknown as Draft<Deployment>;
}

const pods = async () => (await client.list('Pod')).items;
const running = (all: readonly Pod[]) => all.filter((pod) => containerIds(pod).length > 0);

async function killWhen(what: string, condition: (all: readonly Pod[]) => boolean): Promise<readonly Pod[]> {
  const seen = await until(what, async () => {
    const all = await pods();
    return condition(all) && all;
  });
  await killDaemon();
  await machine.mustPodwire('up');
  return seen;
}

/** The Deployment has what it wants, the machine has what the API says, and of `earlier` none was started again. */
async function converges(replicas: number, earlier: readonly Pod[]): Promise<void> {
  let last: string[] = [];
  const all = await until(`${replicas} pods, and nothing beside them`, async () => {
    const { status, metadata, spec } = await client.get('Deployment', 'many', 'default');
    if (status?.observedGeneration !== metadata.generation || spec.replicas !== replicas) return false;
    const seen = await pods();
    const expected = status?.updatedReplicas === replicas && status.replicas === replicas && seen.length === replicas;
    last = expected ? await audit(machine, client) : [`${seen.length} pods of ${replicas}`];
    return last.length === 0 && seen;
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${last.slice(0, 10).join('; ')}`, { cause: error.cause });
  });
  const before = new Map(running(earlier).map((pod) => [pod.metadata.uid, containerIds(pod)]));
  for (const pod of all) {
    const ids = before.get(pod.metadata.uid);
    if (ids) assert.deepEqual(containerIds(pod), ids, `${pod.metadata.name} ran on`);
    assert.equal(pod.status?.containerStatuses?.[0]?.restartCount, 0, pod.metadata.name);
  }
}

test('killed twice while 100 pods are made: there are 100, and none that ran was started again', {
  skip,
}, async () => {
  await client.create('Deployment', many(100));
  for (const count of [10, 60]) {
    const earlier = await killWhen(`${count} pods run`, (all) => running(all).length >= count);
    if (count === 60) await converges(100, earlier);
  }
});

test('killed while 80 of them are deleted: 20 run on, and of the others nothing is left', { skip }, async () => {
  await client.patch('Deployment', TARGET, { spec: { replicas: 60 } });
  await killWhen('some are gone', (all) => all.length < 95);
  await client.patch('Deployment', TARGET, { spec: { replicas: 20 } });
  const earlier = await killWhen('more are gone', (all) => all.length < 45);
  await converges(20, earlier);
});

test('killed in the middle of a rollout: it goes on to its end', { skip }, async () => {
  const old = new Set((await pods()).map((pod) => pod.metadata.uid));
  const container = { name: 'c', env: [{ name: 'VERSION', value: '2' }] };
  await client.patch('Deployment', TARGET, { spec: { template: { spec: { containers: [container] } } } }, 'strategic');
  const isNew = (pod: Pod) => !old.has(pod.metadata.uid);
  const earlier = await killWhen('some are new', (all) => running(all.filter(isNew)).length >= 4);
  await converges(20, earlier.filter(isNew));
  assert.ok((await pods()).every(isNew));
});

test('after the end of all there is nothing left of any of them', { skip }, async () => {
  await client.delete('Deployment', 'many', 'default', { propagationPolicy: 'Background' });
  await killWhen('some are gone', (all) => all.length < 15);
  await until('no pod is left', async () => (await pods()).length === 0);
  await untilNothingBesides(machine, client);
});

const MANY = times(100, 1000);
/** At most at once. */
const ALIVE = 60;

/** Every kind of thing that a pod leaves in the kernel: a published port and limits besides its veth. */
function single(name: string, port: number): Draft<Pod> {
  const ports = [{ containerPort: 80, hostPort: port, protocol: port % 2 === 0 ? 'TCP' : 'UDP' }];
  const container = { name: 'c', image: 'podwire.io/agnhost', args: ['pause'], ports };
  const annotations = { 'kubernetes.io/ingress-bandwidth': '10M', 'kubernetes.io/egress-bandwidth': '10M' };
  return {
    metadata: { name, namespace: 'default', annotations },
    spec: { terminationGracePeriodSeconds: 1, containers: [container] },
  } as unknown as Draft<Pod>;
}

/** What is there besides pods; numbers of processes change with every daemon. */
async function standing(): Promise<unknown> {
  const { links, routes, rules, namespaces, mounts, processes } = await inventory(machine);
  const rulesets = ['node-1', 'node-2', 'node-3'].map((node) =>
    machine.mustPodwire('node', 'exec', node, '--', 'nft', 'list', 'ruleset'),
  );
  const commands = processes!.map((each) => each.replace(/^\d+ /, '')).filter((each) => !each.includes('churn.test'));
  // The kernel's own, some of them a second after the link.
  const ways = routes!.filter((line) => !/ (fe80|ff00)::/.test(line));
  const ofPods = (await Promise.all(rulesets)).join().match(/Pod\/default\/\S+/g) ?? [];
  return { links, ways, rules, namespaces, mounts, commands, ofPods, inside: mountsOfPods(machine, daemonPid()) };
}

test(`${MANY} pods come and go while agents and the daemon are killed at random: nothing leaks`, {
  skip,
}, async (t) => {
  const start = seed();
  const random = randomFrom(start);
  t.diagnostic(`PODWIRE_SEED=${start}`);
  const before = await standing();
  const deaths = { daemon: 0, agent: 0 };
  let made = 0;
  const alive: string[] = [];
  while (made < MANY || alive.length > 0) {
    const more = Math.min(MANY - made, ALIVE - alive.length, 1 + random(25));
    const names = Array.from({ length: more }, (_, i) => `churn-${made + i}`);
    await Promise.all(names.map((name, i) => client.create('Pod', single(name, 20_000 + ((made + i) % 10_000)))));
    made += more;
    alive.push(...names);
    // Somewhere between nothing and all of it done.
    await sleep(random(700));
    const kind = random(5);
    if (kind === 0) {
      deaths.daemon++;
      await killDaemon();
      await machine.mustPodwire('up');
    } else if (kind <= 2) {
      if (await breakThread(daemonPid(), `node-${1 + random(3)}`)) deaths.agent++;
    }
    const doomed = alive.splice(0, made === MANY ? alive.length : random(Math.min(alive.length, 30) + 1));
    await Promise.all(doomed.map((name) => client.delete('Pod', name, 'default', { gracePeriodSeconds: random(2) })));
  }
  t.diagnostic(`killed: the daemon ${deaths.daemon} times, an agent ${deaths.agent} times`);
  await until('no pod is left', async () => (await pods()).length === 0, 180_000);
  await untilNothingBesides(machine, client);
  let last: unknown;
  const same = async () => {
    last = await standing();
    return isDeepStrictEqual(last, before);
  };
  await until('the machine is as it was', same).catch(() => assert.deepEqual(last, before));
});
