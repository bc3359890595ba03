// The pure difference of two states.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FakeKernel } from '../kernel/fake.ts';
import { identityOf } from '../kernel/identity.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { Transaction } from '../kernel/kernel.ts';
import { diff, isEmpty, ordered, type Pair } from './diff.ts';

const mac = fc.nat(3).map((n) => `02:00:00:00:00:0${n}`);
const item: fc.Arbitrary<KernelItem> = fc.oneof(
  fc.record({ kind: fc.constant('neighbour'), link: fc.constant('pw0'), ip: fc.nat(5).map((n) => `10.0.0.${n}`), mac }),
  fc.record({
    kind: fc.constant('route'),
    dst: fc.nat(5).map((n) => `10.0.${n}.0/24`),
    type: fc.constantFrom('unreachable', 'blackhole'),
    metric: fc.nat(1),
  }),
  fc.record({
    kind: fc.constant('link'),
    name: fc.nat(3).map((n) => `pwbr${n}`),
    mtu: fc.constantFrom(1400, 1500),
    up: fc.boolean(),
    type: fc.constant({ kind: 'bridge' }),
  }),
) as fc.Arbitrary<KernelItem>;

const state = fc.array(item, { maxLength: 20 }).map(stateOf);

type State = ReadonlyMap<string, KernelItem>;

function pairs(have: State, want: State): Pair[] {
  const identities = new Set([...have.keys(), ...want.keys()]);
  return [...identities].map((identity) => ({ have: have.get(identity), want: want.get(identity) }));
}

function stateOf(items: readonly KernelItem[]): State {
  return new Map(items.map((each) => [identityOf(each), each]));
}

function applied(have: State, { add, change, remove }: Transaction): State {
  const result = new Map(have);
  for (const each of remove) result.delete(identityOf(each));
  for (const each of [...add, ...change.map((pair) => pair.to)]) result.set(identityOf(each), each);
  return result;
}

test('applying the difference leaves no difference', () => {
  fc.assert(
    fc.property(state, state, (have, want) => {
      assert.ok(isEmpty(diff(pairs(applied(have, diff(pairs(have, want))), want))));
      assert.ok(isEmpty(diff(pairs(have, have))));
    }),
  );
});

test('a kernel that is taken from state to state holds the last one', () => {
  const base: KernelItem = { kind: 'link', name: 'pw0', mtu: 1500, up: true, type: { kind: 'bridge' } };
  fc.assert(
    fc.property(fc.array(state, { minLength: 1, maxLength: 5 }), (states) => {
      const kernel = new FakeKernel();
      let have = stateOf([]);
      for (const want of states.map((each) => stateOf([base, ...each.values()]))) {
        kernel.apply(ordered(diff(pairs(have, want))));
        have = want;
        assert.deepEqual([...stateOf(kernel.read()).keys()].toSorted(), [...want.keys()].toSorted());
      }
    }),
  );
});
