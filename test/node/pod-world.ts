// A node's pods without a network: the real API server in this process, the real runtime, and addresses that lead nowhere.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startApiServer } from '../../src/api/start.ts';
import { createInformers } from '../../src/cache/informers.ts';
import { Client } from '../../src/client/client.ts';
import { createRecorder } from '../../src/client/recorder.ts';
import type { NodeOptions } from '../../src/node/agent.ts';
import { ConfigWatch } from '../../src/node/config-watch.ts';
import type { PodContext } from '../../src/node/pod-context.ts';
import type { PodAttachment, PodNetwork } from '../../src/node/pod-network.ts';
import type { PodSpec } from '../../src/node/pod-view.ts';
import { Pods } from '../../src/node/pods.ts';
import { StartQueue } from '../../src/node/start-queue.ts';
import type { Pod } from '../../src/objects/types.ts';
import { openRuntime } from '../../src/runtime/start.ts';

const OCI_RUNTIME = '/usr/bin/crun';
const CONMON = '/usr/bin/conmon';

export function unable(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  return [OCI_RUNTIME, CONMON].every((path) => existsSync(path)) ? false : 'needs crun and conmon';
}

function nodeOptions(stateDir: string): NodeOptions {
  return {
    clusterName: `t${process.pid}`,
    nodeName: 'worker-1',
    nodeIPs: ['172.30.0.11'],
    stateDir,
    imageDir: join(stateDir, 'images'),
    clusterDomain: 'cluster.local',
    podCIDRs: ['10.244.0.0/24'],
    clusterPodCIDRs: ['10.244.0.0/16'],
    serviceCIDRs: ['10.96.0.0/16'],
    nodeCIDRs: ['172.30.0.0/24'],
    dnsIPs: ['10.96.0.10'],
    dnsUpstreams: ['192.0.2.53'],
    mtu: 1500,
    vxlan: { vni: 1, port: 8472 },
    nodePortRange: [30000, 32767],
    ociRuntime: OCI_RUNTIME,
    conmon: CONMON,
  };
}

/** Gives out addresses and remembers who has them. */
class Addresses implements PodNetwork {
  readonly leases = new Map<string, string>();
  /** By name of the pod. */
  readonly asked = new Map<string, PodAttachment>();
  #next = 2;

  attach(pod: PodAttachment): readonly string[] {
    const { sandboxId } = pod;
    this.asked.set(pod.podName, pod);
    const ip = this.leases.get(sandboxId) ?? `10.244.0.${this.#next++}`;
    this.leases.set(sandboxId, ip);
    return [ip];
  }

  detach(sandboxId: string): void {
    this.leases.delete(sandboxId);
  }

  retain(): void {}
}

export async function createWorld() {
  // A thread of libuv's pool that is born later would share our working directory, and with it forbid changes of mounts.
  await stat('/');
  const stateDir = mkdtempSync(join(tmpdir(), 'podwire-node-'));
  const options = nodeOptions(stateDir);
  mkdirSync(options.imageDir);
  const api = await startApiServer({
    stateDir: ':memory:',
    clusterName: options.clusterName,
    clusterDomain: options.clusterDomain,
    serviceCIDRs: options.serviceCIDRs,
    nodePortRange: [30000, 32767],
    listen: [],
    certificateNames: [],
    kubeletSocket: () => join(stateDir, 'kubelet.sock'),
  });
  const client = new Client(api.transport);
  // Every pod waits for these; controllers, which are not here, make them in each namespace.
  await client.create('ServiceAccount', { metadata: { name: 'default', namespace: 'default' } });
  const authority = { metadata: { name: 'kube-root-ca.crt', namespace: 'default' }, data: { 'ca.crt': api.authority } };
  await client.create('ConfigMap', authority);
  const network = new Addresses();

  async function startAgent() {
    const informers = createInformers(client);
    const services = informers.of('Service');
    await services.synced;
    const runtime = await openRuntime(options);
    const context: PodContext = {
      options,
      client,
      runtime,
      network,
      starts: new StartQueue(4),
      recorder: createRecorder(client, 'kubelet', { host: options.nodeName }),
      services,
      configs: new ConfigWatch(client),
      allocatable: { cpu: '2', memory: '4Gi', 'ephemeral-storage': '10Gi' },
    };
    const pods = new Pods(context);
    await pods.synced;
    return {
      pods,
      runtime,
      recorder: context.recorder,
      close() {
        pods.close();
        context.configs.close();
        informers.close();
        runtime.close();
      },
    };
  }

  let agent = await startAgent();
  return {
    client,
    network,
    stateDir,
    get agent() {
      return agent;
    },
    /** `meanwhile` happens while there is no agent. */
    async restartAgent(meanwhile: () => Promise<unknown>) {
      agent.close();
      await meanwhile();
      agent = await startAgent();
    },
    create: (name: string, spec: Partial<PodSpec>, annotations: Record<string, string> = {}) =>
      client.create('Pod', {
        metadata: { name, namespace: 'default', annotations },
        spec: { nodeName: options.nodeName, terminationGracePeriodSeconds: 2, containers: [], ...spec },
      }),
    /** Waits until the pod is as `test` wants it; fails with what it is at last. */
    pod: (name: string, test: (pod: Pod) => boolean) =>
      until<Pod>(async () => {
        const pod = await client.get('Pod', name, 'default');
        return test(pod) ? pod : { not: pod.status };
      }),
    gone: (name: string) =>
      until<true>(async () => {
        const list = await client.list('Pod', { namespace: 'default', fieldSelector: `metadata.name=${name}` });
        return list.items.length === 0 ? true : { not: list.items[0]!.status };
      }),
    async close() {
      const { items } = await client.list('Pod');
      const options = { gracePeriodSeconds: 0 };
      for (const { metadata } of items) await client.delete('Pod', metadata.name, metadata.namespace, options);
      await until<true>(async () => agent.pods.size === 0 || { not: agent.runtime.containers() });
      agent.close();
      await api.close();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

export type World = Awaited<ReturnType<typeof createWorld>>;

export async function until<T>(ask: () => Promise<T | { not: unknown }>): Promise<T> {
  const end = Date.now() + 30_000;
  for (;;) {
    const answer = await ask();
    if (!(typeof answer === 'object' && answer !== null && 'not' in answer)) return answer as T;
    if (Date.now() > end) throw new Error(`not within 30 s: ${JSON.stringify(answer.not, undefined, 1)}`);
    await sleep(20);
  }
}

export function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: s }) => type === 'Ready' && s === 'True') ?? false;
}

/** A container that runs a line of shell. */
export function shell(name: string, script: string, rest: object = {}) {
  return { name, image: 'host', command: ['/bin/sh', '-c', script], ...rest };
}
