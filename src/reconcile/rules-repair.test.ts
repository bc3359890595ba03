// Looking over nftables in short turns, over the fake kernel: what others did is undone, what we do meanwhile is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeKernel } from '../kernel/fake.ts';
import type { KernelItem } from '../kernel/items.ts';
import { fakeNft } from '../kernel/nft-fake.ts';
import type { NftChain, NftElement, NftItem, NftSet } from '../kernel/nft-items.ts';
import type { Fragment } from '../plan/plan.ts';
import { createReconciler } from './loop.ts';

const place = { family: 'ip', table: 'podwire' } as const;
const table: NftItem = { kind: 'table', ...place };
const services: NftSet = { kind: 'set', ...place, set: 'services', key: ['ipv4_addr'], data: ['verdict'] };
const chain = (name: string, rest: Partial<NftChain> = {}): NftChain => ({
  kind: 'chain',
  ...place,
  chain: name,
  rules: [],
  ...rest,
});
const entry = chain('entry', { base: { type: 'nat', hook: 'output', priority: -100 } });
const service = (i: number, to = 'one'): NftElement => ({
  kind: 'element',
  ...place,
  set: 'services',
  key: [`10.96.${i >> 8}.${i & 255}`],
  data: { verdict: 'goto', chain: to },
});
const COUNT = 2000;
const base: NftItem[] = [table, services, chain('one'), chain('two'), entry];

function fragment(...items: KernelItem[]): Fragment {
  return { cause: { kind: 'Node', name: 'worker-1' }, items };
}

function loaded() {
  const nft = fakeNft();
  const kernel = new FakeKernel({ nft });
  const reconciler = createReconciler(kernel);
  const entries = Array.from({ length: COUNT }, (_, i) => [`s${i}`, fragment(service(i))] as const);
  reconciler.update(new Map([['base', fragment(...base)], ...entries]));
  return { nft, kernel, reconciler };
}

function texts(items: readonly NftItem[]): string[] {
  return items.map((item) => JSON.stringify(item)).toSorted();
}

const all = Array.from({ length: COUNT }, (_, i) => service(i));

test('what is missing comes back, what is changed is as it was, what is foreign goes; then there is nothing to do', async () => {
  const { nft, kernel, reconciler } = loaded();
  const changed = service(7, 'two');
  nft.apply([service(COUNT, 'two')], [{ from: service(7), to: changed }], [service(9)]);
  assert.deepEqual((await reconciler.repairRules()).toSorted(), [
    'added element ip podwire services { 10.96.0.9 }',
    'changed element ip podwire services { 10.96.0.7 }',
    'removed element ip podwire services { 10.96.7.208 }',
  ]);
  assert.deepEqual(texts(nft.read()), texts([...base, ...all]));
  const before = kernel.transactions.length;
  assert.deepEqual(await reconciler.repairRules(), []);
  assert.equal(kernel.transactions.length, before);
});

test('what changes while the sets are walked through, and what the walk tells twice or not, is no repair', async () => {
  const { nft, kernel, reconciler } = loaded();
  const walk = nft.elementsOf.bind(nft);
  kernel.elementsOf = async function* (set) {
    let count = 0;
    for await (const piece of walk(set)) {
      if (count++ === 3) {
        const more = fragment(service(COUNT), service(COUNT + 1, 'two'));
        const other = fragment(service(2, 'two'));
        reconciler.update(
          new Map([
            ['more', more],
            ['s2', other],
            ['s1', undefined],
            [`s${COUNT - 1}`, undefined],
          ]),
        );
      }
      yield count % 5 === 0 ? piece.slice(1) : [...piece, piece[0]!];
    }
  };
  assert.deepEqual(await reconciler.repairRules(), []);
  const now = [...all.slice(0, 1), service(2, 'two'), ...all.slice(3, -1), service(COUNT), service(COUNT + 1, 'two')];
  assert.deepEqual(texts(nft.read()), texts([...base, ...now]));
});

test('a table that was flushed comes back in bounded turns, and packets enter it last', async () => {
  const { nft, kernel, reconciler } = loaded();
  nft.apply([], [], [table]);
  const before = kernel.transactions.length;
  let inTurn = 0;
  let most = 0;
  const apply = kernel.apply.bind(kernel);
  kernel.apply = (transaction) => {
    apply(transaction);
    inTurn += transaction.add.length;
    most = Math.max(most, inTurn);
    setImmediate(() => {
      inTurn = 0;
    });
  };
  const repaired = await reconciler.repairRules();
  assert.equal(repaired.length, 101);
  assert.equal(repaired.at(-1), `and ${COUNT + base.length - 100} more`);
  assert.deepEqual(texts(nft.read()), texts([...base, ...all]));
  assert.ok(most <= base.length + 500, `${most} items in one turn`);
  const put = kernel.transactions.slice(before).flatMap(({ add }) => add);
  assert.deepEqual(put.at(-1), entry);
  assert.equal(put.indexOf(entry), put.length - 1);
});

test('after a restart a chain goes that only a Service that is gone held', async () => {
  const { nft } = loaded();
  nft.apply([chain('old'), service(COUNT, 'old')], [], []);
  const kernel = new FakeKernel({ nft });
  const again = createReconciler(kernel);
  again.update(new Map([['base', fragment(...base, ...all)]]));
  assert.deepEqual(await again.repair(), [
    'removed element ip podwire services { 10.96.7.208 }',
    'removed chain ip podwire old',
  ]);
  assert.deepEqual(texts(nft.read()), texts([...base, ...all]));
});
