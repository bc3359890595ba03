// Room node: a proxy over informers in memory and fakes of the kernel, for tests.
import { MemoryInformer } from '../cache/memory-informer.fixture.ts';
import type { Client } from '../client/client.ts';
import { FakeKernel } from '../kernel/fake.ts';
import type { ConntrackFilter } from '../kernel/kernel.ts';
import { fakeNft } from '../kernel/nft-fake.ts';
import type { EndpointSlice, Node, Service } from '../objects/types.ts';
import { createReconciler } from '../reconcile/loop.ts';
import type { NodeOptions } from './agent.ts';
import { startProxy } from './proxy.ts';
import { serviceOf } from './proxy-informers.ts';

const OPTIONS = {
  clusterName: 'test',
  nodeName: 'worker-1',
  nodeIPs: ['172.30.0.11'],
  podCIDRs: [],
  clusterPodCIDRs: ['10.244.0.0/16'],
  serviceCIDRs: ['10.96.0.0/16'],
} as unknown as NodeOptions;

export const metadata = (name: string) => ({
  name,
  namespace: 'shop',
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '',
});

/** Nothing is synced yet. */
export function fakeProxy(dnsIPs: readonly string[] = []) {
  const informers = {
    services: new MemoryInformer<Service>(),
    slices: new MemoryInformer<EndpointSlice>({ service: (slice) => [serviceOf(slice)!] }),
    nodes: new MemoryInformer<Node>(),
  };
  const nft = fakeNft();
  const kernel = new FakeKernel({ nft });
  const reconciler = createReconciler(kernel);
  const flushed: ConntrackFilter[][] = [];
  const conntrack = {
    flushConntrack: (filters: readonly ConntrackFilter[]) => {
      flushed.push([...filters]);
      return 0;
    },
    nftCounts: () => [],
  };
  const client = undefined as unknown as Client;
  const proxy = startProxy({ client, reconciler, kernel: conntrack, options: { ...OPTIONS, dnsIPs }, informers });
  const sync = async () => {
    for (const informer of Object.values(informers)) informer.sync();
    await proxy.ready;
  };
  const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  return { ...informers, nft, kernel, reconciler, flushed, proxy, sync, settled };
}
