// Services at size: first load, one endpoint's change, one more Service, memory; watched objects to nftables, beside iptables of the same.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemoryInformer } from '../src/cache/memory-informer.fixture.ts';
import type { Client } from '../src/client/client.ts';
import { openConntrack } from '../src/kernel/conntrack-linux.ts';
import { openKernel } from '../src/kernel/linux.ts';
import { openNft } from '../src/kernel/nft-linux.ts';
import type { NodeOptions } from '../src/node/agent.ts';
import { startProxy } from '../src/node/proxy.ts';
import type { EndpointSlice, Node, Service } from '../src/objects/types.ts';
import { createReconciler } from '../src/reconcile/loop.ts';
import { createNetns, netnsPath, removeNamespace } from '../src/sys/netns.ts';
import { iptablesPeer, printKubeProxy } from './iptables-peer.ts';
import { printMachine, printSamples, threadMilliseconds } from './measure.ts';

const options = {
  clusterName: 'bench',
  nodeName: 'node',
  nodeIPs: ['172.30.0.11'],
  podCIDRs: ['10.244.1.0/24'],
  clusterPodCIDRs: ['10.244.0.0/16'],
  serviceCIDRs: ['10.96.0.0/16'],
  nodeCIDRs: ['172.30.0.0/24'],
  dnsIPs: [],
} as unknown as NodeOptions;

const metadata = (name: string, labels: Record<string, string> = {}) => ({
  name,
  namespace: 'bench',
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '',
  labels,
});

function clusterIP(n: number): string {
  return `10.96.${n >> 8}.${n & 255}`;
}

function endpointIP(n: number): string {
  return `10.${100 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

function serviceAt(n: number): Service {
  const spec = { clusterIPs: [clusterIP(n)], ports: [{ port: 80 }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: metadata(`s${n}`), spec };
}

/** Slices of 100 endpoints at most; `changed` takes the place of the third endpoint. */
function slicesAt(n: number, size: number, changed?: string): EndpointSlice[] {
  const all = Array.from({ length: size }, (_, i) => ({
    addresses: [i === 2 && changed ? changed : endpointIP(n * size + i)],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: 'other',
    targetRef: { kind: 'Pod', namespace: 'bench', name: `s${n}-${i}` },
  }));
  return Array.from({ length: Math.ceil(size / 100) }, (_, i) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: metadata(`s${n}-${i}`, { 'kubernetes.io/service-name': `s${n}` }),
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: all.slice(100 * i, 100 * (i + 1)),
  }));
}

const planned = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const usedMB = async () => {
  // What the round before left goes in two steps: first what is waited for, then what it held.
  collect();
  await planned();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 2 ** 20;
};

interface Took {
  readonly wall: number;
  /** Of this thread. */
  readonly cpu: number;
}

async function timed(act: () => unknown): Promise<Took> {
  const [start, began] = [performance.now(), threadMilliseconds()];
  await act();
  return { wall: performance.now() - start, cpu: threadMilliseconds() - began };
}

/** How long this thread's event loop was held up at most while something went on. */
async function longestTurn(act: () => Promise<unknown>): Promise<number> {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  await act();
  delays.disable();
  return delays.max / 1e6;
}

let count = 0;
async function round(services: number, size: number, last: boolean): Promise<Record<string, number[]>> {
  const informers = {
    services: new MemoryInformer<Service>(),
    slices: new MemoryInformer<EndpointSlice>({
      service: ({ metadata: { namespace, labels } }) => [`${namespace}/${labels?.['kubernetes.io/service-name']}`],
    }),
    nodes: new MemoryInformer<Node>(),
  };
  for (let n = 0; n < services; n++) {
    informers.services.set(serviceAt(n));
    informers.slices.set(...slicesAt(n, size));
  }
  for (const informer of Object.values(informers)) informer.sync();
  const netns = netnsPath(`pwt-bench${process.pid}-${count++}`);
  createNetns(netns);
  const kernel = openKernel({ netns, nft: openNft(netns), conntrack: openConntrack(netns) });
  const before = await usedMB();
  const reconciler = createReconciler(kernel);
  try {
    const client = undefined as unknown as Client;
    const cpu = process.cpuUsage();
    let proxy: ReturnType<typeof startProxy> | undefined;
    const load = await timed(async () => {
      proxy = startProxy({ client, reconciler, kernel, options, informers });
      await proxy.ready;
    });
    const all = process.cpuUsage(cpu);
    const figures: Record<string, number[]> = {
      'first load': [load.wall],
      'first load, CPU of the thread': [load.cpu],
      'first load, CPU with V8’s helpers': [(all.user + all.system) / 1000],
      memory: [(await usedMB()) - before],
    };
    if (last) {
      const repeat = async (what: string, times: number, act: (i: number) => void) => {
        const took: Took[] = [];
        for (let i = 0; i < times; i++) {
          const change = () => {
            act(i);
            return planned();
          };
          took.push(await timed(change));
        }
        figures[what] = took.map(({ wall }) => wall);
        figures[`${what}, CPU of the thread`] = took.map(({ cpu }) => cpu);
      };
      await repeat('one endpoint exchanged', 1000, (i) => {
        informers.slices.set(...slicesAt(7, size, `10.200.${i & 1}.${1 + (i % 200)}`));
      });
      await repeat('one Service more', 100, (i) => {
        informers.services.set(serviceAt(services + i));
        informers.slices.set(...slicesAt(services + i, size));
      });
    }
    let looked: Took | undefined;
    const longest = await longestTurn(async () => {
      looked = await timed(() => reconciler.repairRules());
    });
    figures['all looked over'] = [looked!.wall];
    figures['all looked over, CPU of the thread'] = [looked!.cpu];
    figures['all looked over, longest turn'] = [longest];
    proxy!.close();
    return figures;
  } finally {
    reconciler.close();
    kernel.close();
    removeNamespace(netns);
  }
}

async function bench(services: number, size: number, rounds: number): Promise<void> {
  console.log(`\n${services} Services x ${size} endpoints`);
  const all: Record<string, number[]> = {};
  for (let i = 0; i < rounds; i++) {
    for (const [name, samples] of Object.entries(await round(services, size, i === rounds - 1))) {
      all[name] = [...(all[name] ?? []), ...samples];
    }
  }
  for (const [name, samples] of Object.entries(all))
    printSamples(`  ${name}`, samples, name === 'memory' ? 'MB' : 'ms');
  iptablesPeer(services, size, { clusterIP, endpointIP });
}

printMachine();
printKubeProxy();
await bench(1000, 10, 5);
await bench(10_000, 10, 3);
await bench(500, 200, 3);
