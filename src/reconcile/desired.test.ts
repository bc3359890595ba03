// Fragments and the slots of their items.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { identityOf } from '../kernel/identity.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { NftElement } from '../kernel/nft-items.ts';
import type { Fragment } from '../plan/plan.ts';
import { DesiredState } from './desired.ts';
import { Slots } from './slots.ts';

function element(set: string, ...key: NftElement['key']): NftElement {
  return { kind: 'element', family: 'ip', table: 'podwire', set, key };
}

function fragment(...items: KernelItem[]): Fragment {
  return { cause: { kind: 'Service', namespace: 'shop', name: 'web' }, items };
}

test('what is the very object it was is not touched', () => {
  const desired = new DesiredState();
  const [a, b] = [element('endpoints', '10.96.0.1', 'tcp', 80, 0), element('endpoints', '10.96.0.1', 'tcp', 80, 1)];
  assert.equal(desired.set('web', fragment(a, b)).size, 2);
  const other = { ...b, data: ['10.244.0.5', 8080] };
  assert.deepEqual(
    [...desired.set('web', fragment(other, a))].map(({ want }) => want),
    [other],
  );
  assert.equal(desired.set('web', fragment(a, other)).size, 0);
  assert.deepEqual(
    [...desired.set('web', fragment(a))].map(({ want }) => want),
    [undefined],
  );
});

test('items of one identity have one slot, and others another', () => {
  const part = fc.oneof(fc.constantFrom('10.96.0.1', 'tcp', '80'), fc.constantFrom(80, 81));
  const any = fc.tuple(fc.constantFrom('services', 'endpoints'), fc.array(part, { minLength: 1, maxLength: 4 }));
  const items = fc.array(
    any.map(([set, key]) => element(set, ...key)),
    { minLength: 2, maxLength: 30 },
  );
  fc.assert(
    fc.property(items, (all) => {
      const slots = new Slots();
      const byIdentity = Map.groupBy(all, identityOf);
      assert.equal(new Set(all.map((item) => slots.of(item))).size, byIdentity.size);
      for (const item of all) slots.release(slots.of(item));
      assert.deepEqual([...slots.values()], []);
    }),
  );
});

test('any changes: what is wanted is what the fragments hold, where they disagree what one of them holds', () => {
  const pool = [0, 1, 2].flatMap((i) => [[1], [2]].map((data) => ({ ...element('picks', '10.96.0.1', i), data })));
  const step = fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.option(fc.subarray(pool), { nil: undefined }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const desired = new DesiredState();
      for (const [key, items] of steps) desired.set(key, items && fragment(...items));
      const held = [...desired.fragments.values()].flatMap(({ items }) => items);
      const wanted = desired.items;
      assert.deepEqual([...wanted.keys()].sort(), [...new Set(held.map(identityOf))].sort());
      for (const item of wanted.values()) assert.ok(held.includes(item));
    }),
  );
});
