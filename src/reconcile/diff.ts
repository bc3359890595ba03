// Room reconcile: the pure difference between two states, each a map of identity to item.
import { sameItem } from '../kernel/identity.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { Transaction } from '../kernel/kernel.ts';

/** Items by identity (kernel/identity.ts). */
export type State = ReadonlyMap<string, KernelItem>;

/** What turns `have` into `want`. `among`: only these identities; absent: all of both. */
export function diff(have: State, want: State, among?: Iterable<string>): Transaction {
  const add: KernelItem[] = [];
  const change: { from: KernelItem; to: KernelItem }[] = [];
  const remove: KernelItem[] = [];
  for (const identity of among ?? new Set([...have.keys(), ...want.keys()])) {
    const from = have.get(identity);
    const to = want.get(identity);
    if (to && !from) add.push(to);
    else if (from && !to) remove.push(from);
    else if (from && to && !sameItem(from, to)) change.push({ from, to });
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
    add: add.toSorted((a, b) => RANK[a.kind] - RANK[b.kind]),
    change: change.toSorted((a, b) => RANK[a.to.kind] - RANK[b.to.kind]),
    remove: remove.toSorted((a, b) => RANK[b.kind] - RANK[a.kind]),
  };
}
