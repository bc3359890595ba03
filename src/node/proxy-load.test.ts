// Room node: what many Services cost the kernel: no rules for each endpoint, no listing, no transaction without end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NftItem } from '../kernel/nft-items.ts';
import type { EndpointSlice, Service } from '../objects/types.ts';
import { fakeProxy, metadata } from './proxy.fixture.ts';

const byte = (n: number) => `${n >> 8}.${n & 255}`;

function serviceAndSlice(i: number, endpoints: number): [Service, EndpointSlice] {
  const name = `s${i}`;
  const service: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata(name),
    spec: { clusterIPs: [`10.96.${byte(i + 256)}`], ports: [{ port: 80 }] },
  };
  const slice: EndpointSlice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata(`${name}-a`), labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080 }],
    endpoints: Array.from({ length: endpoints }, (_, n) => ({ addresses: [`10.244.${byte(n + 1)}`] })),
  };
  return [service, slice];
}

async function loaded(services: number, endpoints: number) {
  const set = fakeProxy();
  for (let i = 0; i < services; i++) {
    const [service, slice] = serviceAndSlice(i, endpoints);
    set.services.set(service);
    set.slices.set(slice);
  }
  const { nft } = set;
  let reads = 0;
  const read = nft.read.bind(nft);
  nft.read = () => {
    reads++;
    return read();
  };
  await set.sync();
  return { ...set, rules: () => rulesOf(read()), reads: () => reads };
}

const rulesOf = (items: readonly NftItem[]) =>
  items.reduce((sum, item) => sum + (item.kind === 'chain' ? item.rules.length : 0), 0);

// kubernetes#96018
test('rules are as many for 400 Services as for one, and for 16 endpoints as for one', async () => {
  const counts = await Promise.all(
    (
      [
        [1, 1],
        [400, 1],
        [1, 16],
        [40, 16],
      ] as const
    ).map(async ([services, endpoints]) => {
      const world = await loaded(services, endpoints);
      world.proxy.close();
      return world.rules();
    }),
  );
  assert.equal(new Set(counts).size, 1, `${counts}`);
});

// kubernetes#135639
test('a first load is several transactions, each of a bounded size', async () => {
  const { kernel, proxy } = await loaded(3000, 5);
  const sizes = kernel.transactions.map(({ add }) => add.length);
  assert.ok(sizes.length >= 3, `${sizes}`);
  assert.ok(Math.max(...sizes) <= 8000, `${sizes}`);
  proxy.close();
});

// kubernetes#139513
test('a change of one endpoint is one element, and nothing is read of the kernel, however many Services there are', async () => {
  const { kernel, proxy, slices, settled, reads } = await loaded(1000, 5);
  const [before, already] = [kernel.transactions.length, reads()];
  for (let round = 0; round < 5; round++) {
    const [, slice] = serviceAndSlice(500, 5);
    slices.set({ ...slice, endpoints: [...slice.endpoints!.slice(1), { addresses: [`10.244.9.${round + 1}`] }] });
    await settled();
  }
  const since = kernel.transactions.slice(before);
  assert.deepEqual(
    since.map(({ add, change, remove }) => add.length + change.length + remove.length),
    [1, 1, 1, 1, 1],
  );
  assert.equal(reads(), already);
  proxy.close();
});
