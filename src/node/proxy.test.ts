// Room node: the proxy over fakes: when it plans, what it coalesces, and which UDP flows it calls stale.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change, Informer } from '../cache/informer.ts';
import type { Client } from '../client/client.ts';
import { FakeKernel } from '../kernel/fake.ts';
import type { ConntrackFilter } from '../kernel/kernel.ts';
import { fakeNft } from '../kernel/nft-fake.ts';
import type { NftItem } from '../kernel/nft-items.ts';
import { type EndpointSlice, type Node, objectKey, type Service } from '../objects/types.ts';
import { createReconciler } from '../reconcile/loop.ts';
import { itemText } from '../wire/nft/text.ts';
import type { NodeOptions } from './agent.ts';
import { startProxy } from './proxy.ts';

/** An informer that a test fills, and that is in sync when the test says so. */
class HandFed<T extends Service | EndpointSlice | Node> implements Informer<T> {
  hasSynced = false;
  readonly synced: Promise<void>;
  #sync: () => void = () => {};
  readonly #objects = new Map<string, T>();
  readonly #handlers: ((change: Change<T>) => void)[] = [];

  constructor() {
    this.synced = new Promise((resolve) => {
      this.#sync = resolve;
    });
  }

  syncNow(): void {
    this.hasSynced = true;
    this.#sync();
  }

  put(object: T): void {
    this.#objects.set(objectKey(object), object);
    for (const handler of this.#handlers) handler({ type: 'add', object });
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): Iterable<T> {
    return this.#objects.values();
  }

  byIndex(): Iterable<T> {
    return this.#objects.values();
  }

  onChange(handler: (change: Change<T>) => void): () => void {
    this.#handlers.push(handler);
    for (const object of this.#objects.values()) handler({ type: 'add', object });
    return () => {};
  }

  close(): void {}
}

const options = {
  clusterName: 'test',
  nodeName: 'worker-1',
  nodeIPs: ['172.30.0.11'],
  podCIDRs: [],
  clusterPodCIDRs: ['10.244.0.0/16'],
  serviceCIDRs: ['10.96.0.0/16'],
  dnsIPs: ['10.96.0.10'],
} as unknown as NodeOptions;

const metadata = (name: string) => ({
  name,
  namespace: 'shop',
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '',
});
const node: Node = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'worker-1', uid: 'n', resourceVersion: '1', creationTimestamp: '' },
  spec: { podCIDRs: ['10.244.1.0/24'] },
};
const names: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: metadata('names'),
  spec: { clusterIPs: ['10.96.0.7'], ports: [{ port: 53, protocol: 'UDP' }] },
};
const sliceOf = (...addresses: string[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { ...metadata('names-a'), labels: { 'kubernetes.io/service-name': 'names' } },
  addressType: 'IPv4',
  ports: [{ name: '', port: 5353, protocol: 'UDP' }],
  endpoints: addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
});

function setUp() {
  const informers = {
    services: new HandFed<Service>(),
    slices: new HandFed<EndpointSlice>(),
    nodes: new HandFed<Node>(),
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
  };
  informers.nodes.put(node);
  const client = undefined as unknown as Client;
  const proxy = startProxy({ client, reconciler, kernel: conntrack, options, informers });
  const sync = async () => {
    for (const informer of Object.values(informers)) informer.syncNow();
    await proxy.ready;
  };
  const elements = () =>
    nft
      .read()
      .filter((item: NftItem) => item.kind === 'element')
      .map((item) =>
        itemText(item)
          .replace(/^add element ip podwire /, '')
          .replace(/ comment "[^"]*"/, ''),
      );
  const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  return { ...informers, kernel, reconciler, flushed, proxy, sync, elements, settled };
}

test('nothing is planned before Services, EndpointSlices and Nodes are all known', async () => {
  const { services, slices, nodes, kernel, sync, settled, elements, proxy } = setUp();
  services.put(names);
  services.syncNow();
  nodes.syncNow();
  await settled();
  assert.deepEqual(kernel.transactions, []);
  slices.put(sliceOf('10.244.1.5'));
  await sync();
  assert.deepEqual(elements(), [
    'services { 10.96.0.7 . udp . 53 : goto n1 }',
    'endpoints { 10.96.0.7 . udp . 53 . 0 : 10.244.1.5 . 5353 }',
  ]);
  proxy.close();
});

test('changes of one tick are one transaction, and one endpoint touches nothing else', async () => {
  const { services, slices, kernel, sync, settled, proxy } = setUp();
  services.put(names);
  slices.put(sliceOf('10.244.1.5', '10.244.1.6'));
  await sync();
  const before = kernel.transactions.length;
  slices.put(sliceOf('10.244.1.5'));
  slices.put(sliceOf('10.244.1.9', '10.244.1.6'));
  await settled();
  assert.equal(kernel.transactions.length, before + 1);
  const { add, change, remove } = kernel.transactions.at(-1)!;
  assert.deepEqual([add, remove], [[], []]);
  assert.deepEqual(
    change.map(({ to }) => itemText(to as NftItem)),
    ['add element ip podwire endpoints { 10.96.0.7 . udp . 53 . 0 comment "Service/shop/names" : 10.244.1.9 . 5353 }'],
  );
  proxy.close();
});

test('UDP flows are stale when the endpoints change, and also at the start, when nothing is known of before', async () => {
  const { services, slices, flushed, sync, settled, proxy } = setUp();
  services.put(names);
  slices.put(sliceOf('10.244.1.5'));
  await sync();
  const frontend = { protocol: 'UDP', originalDst: '10.96.0.7', originalDstPort: 53 };
  const five = { ip: '10.244.1.5', port: 5353 };
  assert.deepEqual(flushed.splice(0), [[{ ...frontend, except: [five] }]]);
  services.put({ ...names });
  await settled();
  assert.deepEqual(flushed.splice(0), [], 'nothing changed');
  slices.put(sliceOf());
  await settled();
  assert.deepEqual(flushed.splice(0), [[{ ...frontend, except: [] }]]);
  proxy.close();
});

test('a refused update is tried again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { services, slices, kernel, sync, settled, elements, proxy } = setUp();
  await sync();
  kernel.apply = ((apply) => {
    let refusals = 1;
    return (transaction) => {
      if (refusals-- > 0) throw new Error('refused');
      apply.call(kernel, transaction);
    };
  })(kernel.apply);
  services.put(names);
  slices.put(sliceOf('10.244.1.5'));
  await settled();
  assert.deepEqual(elements(), []);
  t.mock.timers.tick(1000);
  assert.equal(elements().length, 2);
  proxy.close();
});
