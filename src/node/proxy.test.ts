// Room node: the proxy over fakes: when it plans, what it coalesces, and which UDP flows it calls stale.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NftItem } from '../kernel/nft-items.ts';
import type { EndpointSlice, Node, Service } from '../objects/types.ts';
import { itemText } from '../wire/nft/text.ts';
import { fakeProxy, metadata } from './proxy.fixture.ts';

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
  const set = fakeProxy(['10.96.0.10']);
  set.nodes.set(node);
  const elements = () =>
    set.nft
      .read()
      .filter((item: NftItem) => item.kind === 'element')
      .map((item) =>
        itemText(item)
          .replace(/^add element ip podwire /, '')
          .replace(/ comment "[^"]*"/, ''),
      );
  return { ...set, elements };
}

test('nothing is planned before Services, EndpointSlices and Nodes are all known', async () => {
  const { services, slices, nodes, kernel, sync, settled, elements, proxy } = setUp();
  services.set(names);
  services.sync();
  nodes.sync();
  await settled();
  assert.deepEqual(kernel.transactions, []);
  slices.set(sliceOf('10.244.1.5'));
  await sync();
  assert.deepEqual(elements(), [
    'services { 10.96.0.7 . udp . 53 : goto n1 }',
    'endpoints { 10.96.0.7 . udp . 53 . 0 : 10.244.1.5 . 5353 }',
  ]);
  proxy.close();
});

test('changes of one tick are one transaction, and one endpoint touches nothing else', async () => {
  const { services, slices, kernel, sync, settled, proxy } = setUp();
  services.set(names);
  slices.set(sliceOf('10.244.1.5', '10.244.1.6'));
  await sync();
  const before = kernel.transactions.length;
  slices.set(sliceOf('10.244.1.5'));
  slices.set(sliceOf('10.244.1.9', '10.244.1.6'));
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
  services.set(names);
  slices.set(sliceOf('10.244.1.5'));
  await sync();
  const frontend = { protocol: 'UDP', originalDst: '10.96.0.7', originalDstPort: 53 };
  const five = { ip: '10.244.1.5', port: 5353 };
  assert.deepEqual(flushed.splice(0), [[{ ...frontend, except: [five] }]]);
  services.set({ ...names });
  await settled();
  assert.deepEqual(flushed.splice(0), [], 'nothing changed');
  slices.set(sliceOf());
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
  services.set(names);
  slices.set(sliceOf('10.244.1.5'));
  await settled();
  assert.deepEqual(elements(), []);
  t.mock.timers.tick(1000);
  assert.equal(elements().length, 2);
  proxy.close();
});
