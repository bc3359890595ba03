// A cluster without nodes' agents: the embedded API server in memory, controllers and scheduler; nodes and kubelets are status patches.
import { startApiServer } from '../../src/api/start.ts';
import { createInformer, type Informer } from '../../src/cache/informer.ts';
import { createInformers } from '../../src/cache/informers.ts';
import { Client } from '../../src/client/client.ts';
import type { Transport } from '../../src/client/transport.ts';
import type { ControllerOptions } from '../../src/controllers/controller.ts';
import { startControllers } from '../../src/controllers/start.ts';
import type { Deployment, Draft, Kind, KindTypes, Pod } from '../../src/objects/types.ts';
import { startScheduler } from '../../src/scheduler/start.ts';
import { TEST_API_OPTIONS } from '../api/server.ts';

type Truthy<T> = Exclude<T, false | null | undefined | 0 | ''>;

export interface TestCluster extends AsyncDisposable {
  readonly client: Client;
  readonly pods: Informer<Pod>;
  /** Polls until `check` returns something true; fails with the last answer after 30 s. */
  until<T>(what: string, check: () => T | Promise<T>): Promise<Truthy<T>>;
  /** Objects of one kind in the namespace `default`, by name. */
  list<K extends Kind>(kind: K, namespace?: string): Promise<KindTypes[K][]>;
  addNode(name: string, options?: { cpu?: string; labels?: Record<string, string> }): Promise<void>;
  /** Plays every kubelet: bound pods become Running and Ready with an address, deleted ones go. Returns how to stop. */
  runKubelets(options?: { ready?: (pod: Pod) => boolean }): () => void;
}

/** `watchDelayMs` lets controllers and scheduler hear of every change that much later. */
export async function startCluster(options: ControllerOptions = {}, watchDelayMs = 0): Promise<TestCluster> {
  const server = await startApiServer(TEST_API_OPTIONS);
  const client = new Client(server.transport);
  const parts = watchDelayMs > 0 ? new Client(slowed(server.transport, watchDelayMs)) : client;
  const informers = createInformers(parts);
  const controllers = startControllers({ client: parts, informers, options });
  const scheduler = startScheduler({ client: parts, informers });
  await Promise.all([controllers.ready, scheduler.ready]);
  const pods = createInformer(client, 'Pod');
  await pods.synced;
  const stops: (() => void)[] = [];

  return {
    client,
    pods,
    until,
    async list(kind, namespace = 'default') {
      return (await client.list(kind, { namespace })).items;
    },
    async addNode(name, node = {}) {
      await addNode(client, name, node);
    },
    runKubelets(kubelets = {}) {
      const stop = runKubelets(client, pods, kubelets.ready ?? (() => true));
      stops.push(stop);
      return stop;
    },
    async [Symbol.asyncDispose]() {
      for (const stop of stops) stop();
      controllers.close();
      scheduler.close();
      informers.close();
      pods.close();
      await server.close();
    },
  };
}

function slowed(transport: Transport, delayMs: number): Transport {
  return {
    request: (request) => transport.request(request),
    watch: (request, onEvent) => transport.watch(request, (event) => void setTimeout(onEvent, delayMs, event)),
    close: () => transport.close(),
  };
}

async function until<T>(what: string, check: () => T | Promise<T>): Promise<Truthy<T>> {
  const end = Date.now() + 30_000;
  for (;;) {
    const answer = await check();
    if (answer) return answer as Truthy<T>;
    if (Date.now() > end) throw new Error(`not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function addNode(client: Client, name: string, options: { cpu?: string; labels?: Record<string, string> }) {
  await client.create('Node', { metadata: { name, labels: { 'kubernetes.io/hostname': name, ...options.labels } } });
  const room = { cpu: options.cpu ?? '8', memory: '16Gi', pods: '110' };
  const lastTransitionTime = '2026-01-01T00:00:00Z';
  const ready = { type: 'Ready', status: 'True', reason: 'KubeletReady', lastTransitionTime };
  const status = { capacity: room, allocatable: room, conditions: [ready] };
  await client.patch('Node', { name, subresource: 'status' }, { status });
}

function runKubelets(client: Client, pods: Informer<Pod>, isReady: (pod: Pod) => boolean): () => void {
  let address = 0;
  return pods.onChange(({ type, object: pod }) => {
    const { name, namespace, deletionTimestamp, creationTimestamp: lastTransitionTime } = pod.metadata;
    if (type === 'delete' || !pod.spec.nodeName) return;
    if (deletionTimestamp) {
      void client.delete('Pod', name, namespace, { gracePeriodSeconds: 0 }).catch(() => {});
    } else if (!pod.status?.podIP && isReady(pod)) {
      const podIP = `10.244.${++address >> 8}.${address & 255}`;
      const conditions = [...(pod.status?.conditions ?? []), { type: 'Ready', status: 'True', lastTransitionTime }];
      const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], conditions };
      void client.patch('Pod', { name, namespace, subresource: 'status' }, { status }).catch(() => {});
    }
  });
}

/** A Deployment of pods labelled `app: <name>`. */
export function deployment(name: string, replicas: number, spec: Partial<Deployment['spec']> = {}): Draft<Deployment> {
  const labels = { app: name };
  return {
    metadata: { name, namespace: 'default' },
    spec: { replicas, selector: { matchLabels: labels }, template: template(labels), ...spec },
  };
}

export function template(labels: Record<string, string>, image = 'web:1'): Deployment['spec']['template'] {
  return { metadata: { labels }, spec: { containers: [{ name: 'web', image }] } };
}
