// Room kernel: the tables of ours in memory, under the laws by which the kernel keeps them.
import {
  type NftChain,
  type NftCount,
  type NftElement,
  type NftItem,
  type NftSet,
  nftIdentity,
} from '../wire/nft/items.ts';
import type { NftVerdict } from '../wire/nft/rule.ts';
import { KernelError } from './kernel.ts';
import type { FakeNft, NftBackend, NftChange, NftFrame } from './nft.ts';

export const fakeNft: FakeNft = () => new MemoryNft();

/** Elements. */
const PIECE = 4;

class MemoryNft implements NftBackend {
  #items = new Map<string, NftItem>();

  read(): NftItem[] {
    return [...this.#items.values()];
  }

  readFrame(): NftFrame[] {
    return this.read().filter((item) => item.kind !== 'element');
  }

  async *elementsOf(set: NftSet): AsyncGenerator<readonly NftElement[]> {
    const elements = this.#elementsIn(set);
    for (let i = 0; i < elements.length; i += PIECE) {
      await new Promise(setImmediate);
      yield elements.slice(i, i + PIECE);
    }
  }

  #elementsIn({ family, table, set }: NftSet): NftElement[] {
    return this.read().filter(
      (item) => item.kind === 'element' && item.family === family && item.table === table && item.set === set,
    ) as NftElement[];
  }

  lookUp(elements: readonly NftElement[]): (NftElement | undefined)[] {
    return elements.map((element) => this.#items.get(nftIdentity(element)) as NftElement | undefined);
  }

  /** Works on a copy, which takes the place of the state only when every law holds: all of it or nothing. */
  apply(add: readonly NftItem[], change: readonly NftChange[], remove: readonly NftItem[]): void {
    const next = new Map(this.#items);
    for (const { from } of change) if (from.kind === 'element') next.delete(nftIdentity(from));
    for (const item of remove) if (item.kind === 'element') next.delete(nftIdentity(item));
    for (const item of [...add, ...change.map(({ to }) => to)]) put(next, item);
    for (const item of remove) if (item.kind !== 'element') drop(next, item);
    for (const item of [...add, ...change.map(({ to }) => to)]) checkParent(next, item);
    for (const item of remove) if (item.kind === 'chain' || item.kind === 'set') checkUnused(next, item);
    this.#items = next;
  }

  /** No packet passes here. */
  counts(set: NftSet): NftCount[] {
    return this.#elementsIn(set).map(({ key }) => ({ key, packets: 0, bytes: 0 }));
  }

  /** Nobody else has access. */
  disturbed(): boolean {
    return false;
  }

  close(): void {}
}

/** An element with other data is replaced, a set of other types stays in the way. */
function put(items: Map<string, NftItem>, item: NftItem): void {
  const identity = nftIdentity(item);
  const old = items.get(identity);
  if (old?.kind === 'set' && item.kind === 'set' && !sameTypes(old, item)) {
    throw new KernelError('nft add', 'EEXIST', 'the set has other types', item);
  }
  items.set(identity, item);
}

function sameTypes(a: NftSet, b: NftSet): boolean {
  return JSON.stringify([a.key, a.data, a.flags]) === JSON.stringify([b.key, b.data, b.flags]);
}

/** A table goes with all in it, a set with its elements. */
function drop(items: Map<string, NftItem>, item: NftItem): void {
  const identity = nftIdentity(item);
  items.delete(identity);
  if (item.kind === 'chain') return;
  for (const key of items.keys()) if (key.startsWith(`${identity} `)) items.delete(key);
}

function checkParent(items: ReadonlyMap<string, NftItem>, item: NftItem): void {
  if (!items.has(nftIdentity(item))) return;
  const table = `${item.family} ${item.table}`;
  const need = (identity: string, what: string) => {
    if (!items.has(identity)) throw new KernelError('nft add', 'ENOENT', `no ${what}`, item);
  };
  need(table, `table ${table}`);
  if (item.kind === 'element') need(`${table} set ${item.set}`, `set ${item.set}`);
  for (const chain of chainsOf(item)) need(`${table} chain ${chain}`, `chain ${chain}`);
  for (const set of setsOf(item)) need(`${table} set ${set}`, `set ${set}`);
}

/** What rules and elements point to cannot be deleted. */
function checkUnused(items: ReadonlyMap<string, NftItem>, removed: NftChain | NftSet): void {
  if (items.has(nftIdentity(removed))) return;
  const name = removed.kind === 'chain' ? removed.chain : removed.set;
  for (const item of items.values()) {
    if (item.family !== removed.family || item.table !== removed.table) continue;
    const uses = removed.kind === 'chain' ? chainsOf(item) : setsOf(item);
    if (uses.includes(name)) throw new KernelError('nft delete', 'EBUSY', `${nftIdentity(item)} uses it`, removed);
  }
}

function chainsOf(item: NftItem): string[] {
  if (item.kind === 'element') return chainOf(item.data);
  if (item.kind !== 'chain') return [];
  const verdicts = item.rules.flatMap((rule) => rule.statements).filter((statement) => statement.kind === 'verdict');
  return verdicts.flatMap(chainOf);
}

function chainOf(data: NftElement['data'] | NftVerdict): string[] {
  return data && 'chain' in data ? [data.chain] : [];
}

function setsOf(item: NftItem): string[] {
  if (item.kind !== 'chain') return [];
  return item.rules
    .flatMap((rule) => rule.statements)
    .flatMap((statement) => ('set' in statement ? [statement.set] : 'map' in statement ? [statement.map] : []));
}
