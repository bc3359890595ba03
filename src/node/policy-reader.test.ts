// Policies by the watch and by a list: whichever comes first, the newest counts, and what is gone is gone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryInformer } from '../cache/memory-informer.fixture.ts';
import type { Client } from '../client/client.ts';
import type { NetworkPolicy } from '../objects/types.ts';
import { PolicyEngine } from '../plan/policy/engine.ts';
import type { AnyPolicy } from '../plan/policy/read-policy.ts';
import { PolicyReader } from './policy-reader.ts';

function policy(name: string, version: number, types: string[] = ['Ingress']): NetworkPolicy {
  const metadata = { name, namespace: 'shop', uid: name, resourceVersion: String(version), creationTimestamp: '' };
  const spec = { podSelector: {}, policyTypes: types };
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec };
}

function world() {
  const watch = new MemoryInformer<AnyPolicy>().sync();
  const engine = new PolicyEngine();
  const api = { items: [] as NetworkPolicy[], version: 0, lists: 0 };
  const list = async () => {
    api.lists++;
    return { items: [...api.items], metadata: { resourceVersion: String(api.version) } };
  };
  const reader = new PolicyReader(
    { list } as unknown as Client,
    new Map([['NetworkPolicy', watch] as const]),
    engine,
    () => {},
  );
  return { watch, engine, api, reader, known: () => [...engine.policies.values()].map(({ key }) => key).sort() };
}

test('where no policy is known nothing is asked', async () => {
  const { reader, api } = world();
  await reader.read('shop');
  assert.equal(api.lists, 0);
});

test('a policy that the watch is yet to tell of is known before the pod starts', async () => {
  const { watch, reader, api, known, engine } = world();
  watch.set(policy('a', 1));
  Object.assign(api, { items: [policy('a', 3, ['Egress']), policy('b', 2)], version: 3 });
  await reader.read('shop');
  assert.deepEqual(known(), ['shop/a', 'shop/b']);
  // The watch comes after: what it tells of is older.
  watch.set(policy('a', 2));
  assert.deepEqual(engine.policies.get('NetworkPolicy/shop/a')!.directions, ['egress']);
  watch.set(policy('b', 2));
  watch.delete('shop/b');
  assert.deepEqual(known(), ['shop/a']);
});

test('many pods that start together share a list, but none that began before its pod was there', async () => {
  const { watch, reader, api } = world();
  watch.set(policy('a', 1));
  Object.assign(api, { items: [policy('a', 1)], version: 1 });
  const first = reader.read('shop');
  await Promise.all([first, ...Array.from({ length: 20 }, () => reader.read('shop'))]);
  assert.equal(api.lists, 2);
  await reader.read('shop');
  assert.equal(api.lists, 3);
});

test('a policy that a list does not have any more is gone, unless it is newer than the list', async () => {
  const { watch, reader, api, known } = world();
  watch.set(policy('a', 1), policy('b', 9));
  Object.assign(api, { items: [], version: 5 });
  await reader.read('shop');
  assert.deepEqual(known(), ['shop/b']);
});
