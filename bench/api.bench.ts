// Bench of the API server: durable writes a second, how fast a watcher hears of one, and a list of 5,000 pods over TLS.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import type { ApiServer } from '../src/api/server.ts';
import { startApiServer } from '../src/api/start.ts';
import { Client } from '../src/client/client.ts';
import { openKubeconfig } from '../src/client/kubeconfig.ts';
import { portTransport } from '../src/client/port.ts';
import type { Draft, Pod } from '../src/objects/types.ts';
import { printMachine, printSamples } from './measure.ts';

const PODS = 5_000;
const WRITERS = 64;
const LATENCY_SAMPLES = 500;

function pod(name: string): Draft<Pod> {
  const container = { name: 'web', image: 'host', ports: [{ containerPort: 80 }], command: ['sleep', 'inf'] };
  return { metadata: { name, namespace: 'default', labels: { app: 'web' } }, spec: { containers: [container] } };
}

/** `count` jobs, `WRITERS` at a time; returns jobs a second. */
async function perSecond(count: number, job: (i: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const began = performance.now();
  const writer = async () => {
    while (next < count) await job(next++);
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
  return count / ((performance.now() - began) / 1000);
}

/** Milliseconds from the call of create to the watcher's event, one after the other. */
async function createToWatch(writer: Client, reader: Client): Promise<number[]> {
  const seen = new Map<string, (at: number) => void>();
  const stream = reader.watch('ConfigMap', { resourceVersion: '0' }, (event) => {
    const { name } = (event.object as { metadata: { name: string } }).metadata;
    seen.get(name)?.(performance.now());
  });
  const samples: number[] = [];
  for (let i = 0; i < LATENCY_SAMPLES; i++) {
    const name = `latency-${i}`;
    const heard = new Promise<number>((resolve) => seen.set(name, resolve));
    const began = performance.now();
    await writer.create('ConfigMap', { metadata: { name, namespace: 'default' }, data: { i: String(i) } });
    samples.push((await heard) - began);
  }
  stream.stop();
  await Promise.all(samples.map((_, i) => writer.delete('ConfigMap', `latency-${i}`, 'default')));
  return samples;
}

async function timed(job: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await job();
  return performance.now() - began;
}

async function measure(server: ApiServer, directory: string): Promise<void> {
  const direct = new Client(server.transport);
  const { port1, port2 } = new MessageChannel();
  server.servePort(port1);
  const port = new Client(portTransport(port2));
  const kubeconfig = join(directory, 'kubeconfig');
  writeFileSync(kubeconfig, server.kubeconfig);
  const https = new Client(openKubeconfig(kubeconfig));

  const creates = await perSecond(PODS, (i) => direct.create('Pod', pod(`direct-${i}`)));
  console.log(`durable creates of pods in process, ${WRITERS} writers: ${creates.toFixed(0)}/s`);
  const target = (i: number) => ({ name: `direct-${i}`, namespace: 'default', subresource: 'status' });
  const patches = await perSecond(PODS, (i) =>
    direct.patch('Pod', target(i), { status: { podIP: `10.0.0.${i % 250}` } }),
  );
  console.log(`durable status patches in process, ${WRITERS} writers: ${patches.toFixed(0)}/s`);
  const lists = [];
  for (let i = 0; i < 10; i++) lists.push(await timed(() => https.list('Pod')));
  printSamples(`list of ${PODS} pods over TLS, parsed by the client`, lists);
  const overTls = await perSecond(PODS / 5, (i) => https.create('Pod', pod(`tls-${i}`)));
  console.log(
    `durable creates of pods over TLS, ${WRITERS} writers, client in the same process: ${overTls.toFixed(0)}/s`,
  );
  printSamples('create to watch event, in process', await createToWatch(direct, direct));
  printSamples('create to watch event, over a MessagePort', await createToWatch(port, port));
  printSamples('create to watch event, over TLS', await createToWatch(https, https));
  https.transport.close();
  port.transport.close();
}

async function run(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'podwire-bench-'));
  const options = {
    clusterName: 'bench',
    clusterDomain: 'cluster.local',
    serviceCIDRs: ['10.96.0.0/16'],
    nodePortRange: [30000, 32767] as const,
    listen: [{ host: '127.0.0.1', port: 0 }],
    certificateNames: [],
    kubeletSocket: () => undefined,
  };
  try {
    printMachine();
    const start = () => startApiServer({ ...options, stateDir: join(directory, 'state') });
    let server = await start();
    await server.close();
    const starts = [];
    for (let i = 0; i < 5; i++) {
      starts.push(await timed(async () => (server = await start())));
      if (i < 4) await server.close();
    }
    printSamples('start to listening, modules loaded', starts);
    await measure(server, directory);
    await server.close();
    const again = await timed(async () => (server = await start()));
    console.log(`start with ${PODS} pods stored: ${again.toFixed(0)} ms`);
    await server.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await run();
