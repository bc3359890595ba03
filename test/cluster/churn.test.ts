// kill -9 of the daemon while a hundred pods come, go and are replaced: what the API says is what there is afterwards, no more.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from '../../src/client/client.ts';
import { openKubeconfig } from '../../src/client/kubeconfig.ts';
import type { Deployment, Draft, Pod } from '../../src/objects/types.ts';
import { enterNetns } from '../../src/sys/netns.ts';
import { audit, containerIds, untilNothingBesides } from './audit.ts';
import { clusterSkip, Machine, until } from './machine.ts';

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

async function killDaemon(): Promise<void> {
  const file = join(machine.state, 'clusters', machine.cluster, 'daemon.pid');
  const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number };
  process.kill(pid, 'SIGKILL');
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
