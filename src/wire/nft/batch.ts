// Room wire: a set of changes as one nf_tables batch, in the order in which no packet misses its rule and nothing in use is deleted.
import { NLM_F } from '../netlink/message.ts';
import { NfnetlinkWriter } from '../nfnetlink/writer.ts';
import { compileStatements } from './compile.ts';
import { writeElement } from './element.ts';
import { NFPROTO } from './expression.ts';
import { type NftChain, type NftElement, type NftItem, type NftSet, nftIdentity } from './items.ts';
import {
  BATCH_BEGIN,
  BATCH_END,
  CHAIN,
  ELEMENT_LIST,
  HOOK,
  HOOK_NUMBER,
  message,
  POLICY_DROP,
  RULE,
  SET,
  SUBSYSTEM,
  TABLE,
  USERDATA,
} from './message.ts';
import { writeSet } from './set.ts';

export interface NftChanges {
  readonly add: readonly NftItem[];
  readonly change: readonly { readonly from: NftItem; readonly to: NftItem }[];
  readonly remove: readonly NftItem[];
}

/** What one message of a batch does, for telling what was refused. */
export interface NftOperation {
  readonly remove: boolean;
  readonly items: readonly NftItem[];
}

export interface NftBatch {
  readonly bytes: Uint8Array;
  /** How many sequence numbers it takes; operation i has `firstSeq + 1 + i` (the batch's own begin comes first). */
  readonly count: number;
  readonly operations: readonly NftOperation[];
}

export interface NftBatchOptions {
  readonly firstSeq: number;
  /** The set that an element belongs to: its types are not in the element. */
  readonly setOf: (element: NftElement) => NftSet;
  /** NFT_MSG_DESTROY… (Linux 6.3) deletes what may be gone already; without it elements are deleted one a message. */
  readonly destroy: boolean;
}

/** A nested list's length has 16 bits; elements of ours stay below 400 bytes. */
const LIST_BYTES = 60_000;

export function encodeBatch(changes: NftChanges, options: NftBatchOptions): NftBatch {
  const w = new NfnetlinkWriter(options.firstSeq, 1024 + 96 * (changes.add.length + 2 * changes.change.length));
  w.begin(BATCH_BEGIN, 0, 0, SUBSYSTEM);
  w.end();
  const operations = new BatchWriter(w, options).write(changes);
  w.begin(BATCH_END, 0, 0, SUBSYSTEM);
  w.end();
  return { bytes: w.bytes, count: operations.length + 2, operations };
}

class BatchWriter {
  readonly #w: NfnetlinkWriter;
  readonly #options: NftBatchOptions;
  readonly #operations: NftOperation[] = [];

  constructor(w: NfnetlinkWriter, options: NftBatchOptions) {
    this.#w = w;
    this.#options = options;
  }

  write({ add, change, remove }: NftChanges): NftOperation[] {
    const to = change.length > 0 ? [...add, ...change.map((changed) => changed.to)] : add;
    const gone = withoutContents(remove);
    const goneChains = gone.filter((item) => item.kind === 'chain');
    for (const item of to) if (item.kind === 'table') this.#addTable(item);
    for (const { from } of change) if (from.kind === 'set') this.#remove(from);
    for (const item of to) if (item.kind === 'set') this.#addSet(item);
    const chains = to.filter((item) => item.kind === 'chain');
    for (const chain of chains) this.#addChain(chain);
    for (const chain of [...chains, ...goneChains]) this.#flushRules(chain, goneChains.includes(chain));
    this.#elements([...gone, ...change.map(({ from }) => from)], true);
    this.#elements(to, false);
    for (const chain of chains) this.#addRules(chain);
    // Rules that look sets up are gone by now; verdicts in sets' elements hold chains.
    for (const item of gone) if (item.kind === 'set') this.#remove(item);
    for (const chain of goneChains) this.#remove(chain);
    for (const item of gone) if (item.kind === 'table') this.#remove(item);
    return this.#operations;
  }

  #begin(type: number, flags: number, operation: NftOperation): void {
    this.#w.begin(message(type), flags, NFPROTO[operation.items[0]!.family]);
    this.#operations.push(operation);
  }

  #addTable(item: NftItem): void {
    this.#begin(TABLE.NEW, NLM_F.CREATE, { remove: false, items: [item] });
    this.#w.string(TABLE.NAME, item.table);
    this.#w.end();
  }

  #addSet(set: NftSet): void {
    this.#begin(SET.NEW, NLM_F.CREATE, { remove: false, items: [set] });
    writeSet(this.#w, set, this.#operations.length);
    this.#w.end();
  }

  #addChain(chain: NftChain): void {
    const w = this.#w;
    this.#begin(CHAIN.NEW, NLM_F.CREATE, { remove: false, items: [chain] });
    w.string(CHAIN.TABLE, chain.table);
    w.string(CHAIN.NAME, chain.chain);
    if (chain.base) {
      const hook = w.open(CHAIN.HOOK);
      w.u32(HOOK.NUMBER, HOOK_NUMBER[chain.base.hook]);
      w.u32(HOOK.PRIORITY, chain.base.priority);
      w.close(hook);
      w.u32(CHAIN.POLICY, chain.base.policy === 'drop' ? POLICY_DROP : 1);
      w.string(CHAIN.TYPE, chain.base.type);
    }
    w.end();
  }

  #flushRules(chain: NftChain, remove: boolean): void {
    this.#begin(RULE.DELETE, 0, { remove, items: [chain] });
    this.#w.string(RULE.TABLE, chain.table);
    this.#w.string(RULE.CHAIN, chain.chain);
    this.#w.end();
  }

  #addRules(chain: NftChain): void {
    const w = this.#w;
    for (const rule of chain.rules) {
      this.#begin(RULE.NEW, NLM_F.CREATE | NLM_F.APPEND, { remove: false, items: [chain] });
      w.string(RULE.TABLE, chain.table);
      w.string(RULE.CHAIN, chain.chain);
      const expressions = w.open(RULE.EXPRESSIONS);
      compileStatements(w, rule.statements, chain.family);
      w.close(expressions);
      if (rule.comment !== undefined) w.userdataText(RULE.USERDATA, USERDATA.COMMENT, rule.comment);
      w.end();
    }
  }

  #remove(item: NftItem): void {
    const kind = item.kind === 'table' ? TABLE : item.kind === 'chain' ? CHAIN : SET;
    this.#begin(this.#options.destroy ? kind.DESTROY : kind.DELETE, 0, { remove: true, items: [item] });
    this.#w.string(1, item.table);
    if (item.kind === 'chain') this.#w.string(CHAIN.NAME, item.chain);
    else if (item.kind === 'set') this.#w.string(SET.NAME, item.set);
    this.#w.end();
  }

  #elements(items: readonly NftItem[], remove: boolean): void {
    for (const group of bySet(items)) {
      for (let next = 0; next < group.length; ) next = this.#elementMessage(group, next, remove);
    }
  }

  /** Writes elements from `from` on until the message is full; returns where to go on. */
  #elementMessage(group: readonly NftElement[], from: number, remove: boolean): number {
    const w = this.#w;
    const first = group[from]!;
    const set = this.#options.setOf(first);
    const { destroy } = this.#options;
    const items: NftElement[] = [];
    const type = remove ? (destroy ? ELEMENT_LIST.DESTROY : ELEMENT_LIST.DELETE) : ELEMENT_LIST.NEW;
    this.#begin(type, remove ? 0 : NLM_F.CREATE, { remove, items: [first] });
    this.#operations[this.#operations.length - 1] = { remove, items };
    w.string(ELEMENT_LIST.TABLE, first.table);
    w.string(ELEMENT_LIST.SET, first.set);
    const list = w.open(ELEMENT_LIST.ELEMENTS);
    const start = w.length;
    let next = from;
    while (next < group.length && w.length - start < LIST_BYTES) {
      const element = group[next++]!;
      items.push(element);
      writeElement(w, element, set, remove);
      if (remove && !destroy) break;
    }
    w.close(list);
    w.end();
    return next;
  }
}

/** The elements among the items. Those of one set often stand side by side. */
function bySet(items: readonly NftItem[]): Iterable<NftElement[]> {
  const groups = new Map<string, NftElement[]>();
  let last: NftElement | undefined;
  let group: NftElement[] = [];
  for (const item of items) {
    if (item.kind !== 'element') continue;
    if (!last || item.set !== last.set || item.table !== last.table || item.family !== last.family) {
      const key = `${item.family} ${item.table} ${item.set}`;
      group = groups.get(key) ?? [];
      groups.set(key, group);
      last = item;
    }
    group.push(item);
  }
  return groups.values();
}

/** What goes with its table or its set needs no deletion of its own. */
function withoutContents(remove: readonly NftItem[]): readonly NftItem[] {
  const tables = new Set(remove.filter((item) => item.kind === 'table').map(nftIdentity));
  const sets = new Set(remove.filter((item) => item.kind === 'set').map(nftIdentity));
  return remove.filter((item) => {
    if (item.kind !== 'table' && tables.has(`${item.family} ${item.table}`)) return false;
    return item.kind !== 'element' || !sets.has(`${item.family} ${item.table} set ${item.set}`);
  });
}
