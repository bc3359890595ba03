// Bench of controllers and scheduler: from the apply of a Deployment to its last pod bound to a node, writes on disk.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApiServer } from '../src/api/start.ts';
import { createInformers, type Informers } from '../src/cache/informers.ts';
import { Client } from '../src/client/client.ts';
import { startControllers } from '../src/controllers/start.ts';
import type { Draft, Node } from '../src/objects/types.ts';
import { startScheduler } from '../src/scheduler/start.ts';
import { TEST_API_OPTIONS } from '../test/api/server.ts';
import { printMachine, printSamples } from './measure.ts';

const ROUNDS = 10;
const SIZES = [1, 100];

function node(name: string): Draft<Node> {
  const room = { cpu: '64', memory: '64Gi', pods: '10000' };
  const conditions = [{ type: 'Ready', status: 'True' }];
  return { metadata: { name }, status: { capacity: room, allocatable: room, conditions } };
}

/** Milliseconds until all pods of a new Deployment have a node. */
async function applyToBound(client: Client, informers: Informers, name: string, replicas: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const bound = new Set<string>();
  const stop = informers.of('Pod').onChange(({ object }) => {
    if (object.metadata.labels?.['app'] === name && object.spec.nodeName) bound.add(object.metadata.uid);
    if (bound.size === replicas) resolve();
  });
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'host' }] } };
  const began = performance.now();
  const spec = { replicas, selector: { matchLabels: labels }, template };
  await client.create('Deployment', { metadata: { name, namespace: 'default' }, spec });
  await promise;
  stop();
  return performance.now() - began;
}

printMachine();
const stateDir = mkdtempSync(join(tmpdir(), 'podwire-bench-'));
const server = await startApiServer({ ...TEST_API_OPTIONS, stateDir });
const client = new Client(server.transport);
const informers = createInformers(client);
const controllers = startControllers({ client, informers });
const scheduler = startScheduler({ client, informers });
await Promise.all([controllers.ready, scheduler.ready]);
for (const name of ['n1', 'n2', 'n3']) await client.create('Node', node(name));
for (const replicas of SIZES) {
  const samples: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    samples.push(await applyToBound(client, informers, `web-${replicas}-${i}`, replicas));
  }
  printSamples(`Deployment of ${replicas} applied -> all pods bound`, samples);
}
scheduler.close();
controllers.close();
informers.close();
await server.close();
rmSync(stateDir, { recursive: true });
