// The loop over the fake kernel: fragments come, change, go, fail and are repaired.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adding, assertHolds, removing } from '../kernel/contract.ts';
import { FakeKernel } from '../kernel/fake.ts';
import type { KernelItem, Link, Neighbour, Route } from '../kernel/items.ts';
import { KernelError } from '../kernel/kernel.ts';
import type { Fragment } from '../plan/plan.ts';
import { createReconciler } from './loop.ts';

const bridge: Link = { kind: 'link', name: 'pwbr', mtu: 1500, up: true, type: { kind: 'bridge' } };
const neighbour: Neighbour = { kind: 'neighbour', link: 'pwbr', ip: '10.0.0.2', mac: '02:00:00:00:00:02' };
const route: Route = { kind: 'route', dst: '10.1.0.0/24', type: 'unreachable' };
const other: Route = { kind: 'route', dst: '10.2.0.0/24', type: 'unreachable' };

function fragment(...items: KernelItem[]): Fragment {
  return { cause: { kind: 'Node', name: 'worker-1' }, items };
}

function changes(entries: Record<string, Fragment | undefined>): Map<string, Fragment | undefined> {
  return new Map(Object.entries(entries));
}

test('a fragment is put in, changed by its difference alone, and taken away', () => {
  const kernel = new FakeKernel();
  const reconciler = createReconciler(kernel);
  reconciler.update(changes({ a: fragment(bridge, neighbour) }));
  const to = { ...neighbour, mac: '02:00:00:00:00:03' };
  reconciler.update(changes({ a: fragment(bridge, to, route) }));
  assert.deepEqual(kernel.transactions[1], { add: [route], change: [{ from: neighbour, to }], remove: [] });
  reconciler.update(changes({ a: fragment(bridge, to, route) }));
  assert.equal(kernel.transactions.length, 2);
  reconciler.update(changes({ a: undefined }));
  assertHolds(kernel.read());
  assert.equal(reconciler.plan.size, 0);
});

test('an item that two fragments hold stays until both have let go', () => {
  const kernel = new FakeKernel();
  const reconciler = createReconciler(kernel);
  reconciler.update(changes({ a: fragment(bridge, route), b: fragment(bridge) }));
  reconciler.update(changes({ a: undefined }));
  assertHolds(kernel.read(), bridge);
  reconciler.update(changes({ b: undefined }));
  assertHolds(kernel.read());
});

test('where fragments disagree the later one has its way, and the other one after it', () => {
  const kernel = new FakeKernel();
  const reconciler = createReconciler(kernel);
  reconciler.update(changes({ a: fragment(bridge) }));
  reconciler.update(changes({ b: fragment({ ...bridge, mtu: 1400 }) }));
  assertHolds(kernel.read(), { ...bridge, mtu: 1400 });
  reconciler.update(changes({ b: undefined }));
  assertHolds(kernel.read(), bridge);
});

test('an item moves from one fragment to another without leaving the kernel', () => {
  const kernel = new FakeKernel();
  const reconciler = createReconciler(kernel);
  reconciler.update(changes({ a: fragment(route) }));
  reconciler.update(changes({ b: fragment(route), a: undefined }));
  assert.equal(kernel.transactions.length, 1);
});

test('what failed is tried again with the next update', () => {
  const kernel = new FakeKernel();
  const reconciler = createReconciler(kernel);
  kernel.failNext = new KernelError('netlink', 'ENOBUFS');
  assert.throws(() => reconciler.update(changes({ a: fragment(bridge, neighbour) })), { code: 'ENOBUFS' });
  reconciler.update(changes({ b: fragment(route) }));
  assertHolds(kernel.read(), bridge, neighbour, route);
});

test('what keeps failing does not hold up what is new', () => {
  const kernel = new FakeKernel();
  const reconciler = createReconciler(kernel);
  const lost: KernelItem = { kind: 'address', netns: '/run/netns/gone', link: 'eth0', address: '10.1.0.9/32' };
  assert.throws(() => reconciler.update(changes({ pod: fragment(lost) })), { code: 'ENOENT' });
  reconciler.update(changes({ a: fragment(route) }));
  reconciler.update(changes({ b: fragment(other) }));
  assertHolds(kernel.read(), route, other);
  reconciler.update(changes({ pod: undefined }));
  assertHolds(kernel.read(), route, other);
});

test('once all has been put right nothing is read again', () => {
  const kernel = new FakeKernel();
  const reconciler = createReconciler(kernel);
  kernel.failNext = new KernelError('netlink', 'ENOBUFS');
  assert.throws(() => reconciler.update(changes({ a: fragment(bridge, neighbour, route) })), { code: 'ENOBUFS' });
  reconciler.update(changes({}));
  assertHolds(kernel.read(), bridge, neighbour, route);
  kernel.read = () => assert.fail('the kernel was read');
  reconciler.update(changes({ b: fragment(other) }));
  reconciler.update(changes({ a: undefined }));
});

test('half of a failed fragment that is dropped leaves nothing behind', () => {
  const kernel = new FakeKernel();
  const reconciler = createReconciler(kernel);
  kernel.failNext = new KernelError('netlink', 'ENOMEM');
  assert.throws(() => reconciler.update(changes({ a: fragment(bridge, neighbour, route) })), { code: 'ENOMEM' });
  assert.notEqual(kernel.read().length, 0);
  reconciler.update(changes({ a: undefined }));
  assertHolds(kernel.read());
});

test('repair adopts what is right, puts back what is missing, and removes what nobody wants', async () => {
  const pod = '/run/netns/pod';
  const kernel = new FakeKernel({ namespaces: [pod] });
  const inPod: Route = { kind: 'route', netns: pod, dst: '0.0.0.0/0', type: 'unreachable' };
  kernel.apply(adding(bridge, neighbour, other));
  const reconciler = createReconciler(kernel);
  reconciler.update(changes({}));
  const before = kernel.transactions.length;
  const plan = changes({ a: fragment(bridge, { ...neighbour, mac: '02:00:00:00:00:07' }, route, inPod) });
  reconciler.update(plan);
  assert.deepEqual(await reconciler.repair(), ['removed route unreachable 10.2.0.0/24']);
  assert.equal(kernel.at(pod).filter((item) => item.kind === 'route').length, 1);
  kernel.apply(removing(route));
  assert.deepEqual(await reconciler.repair(), ['added route unreachable 10.1.0.0/24']);
  assert.deepEqual(await reconciler.repair(), []);
  assert.ok(kernel.transactions.length > before);
});
