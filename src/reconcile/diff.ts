// Room reconcile: the pure difference between what is there and what is wanted.
import { sameItem } from '../kernel/identity.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { Transaction } from '../kernel/kernel.ts';

/** One item as it is and as it should be; undefined: not at all. */
export interface Pair {
  readonly have: KernelItem | undefined;
  readonly want: KernelItem | undefined;
}

/** What makes of each what it should be. */
export function diff(pairs: Iterable<Pair>): Transaction {
  const add: KernelItem[] = [];
  const change: { from: KernelItem; to: KernelItem }[] = [];
  const remove: KernelItem[] = [];
  for (const { have, want } of pairs) {
    if (want && !have) add.push(want);
    else if (have && !want) remove.push(have);
    else if (have && want && !sameItem(have, want)) change.push({ from: have, to: want });
  }
  return { add, change, remove };
}

export function isEmpty({ add, change, remove }: Transaction): boolean {
  return add.length + change.length + remove.length === 0;
}

const RANK: Record<KernelItem['kind'], number> = {
  table: 0,
  set: 1,
  chain: 2,
  element: 3,
  link: 4,
  sysctl: 5,
  ipip: 5,
  'ipip-peer': 7,
  'fast-path': 5,
  'fast-pod': 9,
  'fast-route': 9,
  switch: 9,
  address: 6,
  neighbour: 7,
  proxy: 7,
  fdb: 7,
  bucket: 7,
  route: 8,
};

/** Additions so that whatever an item needs comes before it, removals the other way round. */
export function ordered({ add, change, remove }: Transaction): Transaction {
  return {
    add: sorted(add, (a, b) => RANK[a.kind] - RANK[b.kind]),
    change: sorted(change, (a, b) => RANK[a.to.kind] - RANK[b.to.kind]),
    remove: sorted(remove, (a, b) => RANK[b.kind] - RANK[a.kind]),
  };
}

/** Large ones are of one kind and need no copy. */
function sorted<T>(items: readonly T[], compare: (a: T, b: T) => number): readonly T[] {
  const isSorted = items.every((item, i) => i === 0 || compare(items[i - 1]!, item) <= 0);
  return isSorted ? items : items.toSorted(compare);
}
