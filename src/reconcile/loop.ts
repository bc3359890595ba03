// Room reconcile: applies the difference between what was last put into the kernel and what the plan wants.
import { identityOf, isLinkItem, isReadable, satisfies } from '../kernel/identity.ts';
import { itemText } from '../kernel/item-text.ts';
import type { KernelItem, Sysctl } from '../kernel/items.ts';
import { type Kernel, KernelError, type KernelPart, type Transaction } from '../kernel/kernel.ts';
import type { Fragment } from '../plan/plan.ts';
import { DesiredState } from './desired.ts';
import { diff, isEmpty, ordered } from './diff.ts';
import type { Reconciler } from './reconciler.ts';
import { repairRules } from './rules-repair.ts';
import type { Slot } from './slots.ts';

export function createReconciler(kernel: Kernel): Reconciler {
  return new ReconcileLoop(kernel);
}

/** A retry reads the whole kernel: one that keeps failing waits twice as long each time. Milliseconds. */
const FIRST_WAIT = 50;
const LONGEST_WAIT = 30_000;

class ReconcileLoop implements Reconciler {
  readonly #kernel: Kernel;
  readonly #desired = new DesiredState();
  /** What a failed transaction spoke of, in the form that the kernel may hold: read again before anything is done to it. */
  readonly #unsure = new Map<Slot, KernelItem>();
  #wait = FIRST_WAIT;
  #timer: NodeJS.Timeout | undefined;
  #due = true;
  #isClosed = false;
  #looking: Promise<string[]> = Promise.resolve([]);

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  get plan(): ReadonlyMap<string, Fragment> {
    return this.#desired.fragments;
  }

  update(changes: ReadonlyMap<string, Fragment | undefined>): void {
    const touched = new Set<Slot>();
    for (const [key, fragment] of changes) this.#desired.set(key, fragment, touched);
    const unsure = [...this.#unsure.keys()];
    const others = unsure.filter((slot) => !touched.has(slot));
    const due = others.length > 0 && this.#due;
    if (due || others.length < unsure.length) this.#readAnew(unsure);
    // What failed before must not hold up what is new: when both together are refused, that goes alone.
    if (due && this.#retry([...others, ...touched])) return;
    this.#applyAmong(touched);
    if (unsure.length > 0) this.#forgetSettled(touched);
  }

  #retry(slots: readonly Slot[]): boolean {
    try {
      this.#apply(diff(slots));
      this.#forgetSettled(slots);
      this.#wait = FIRST_WAIT;
      return true;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#due = false;
      this.#wait = Math.min(LONGEST_WAIT, this.#wait * 2);
      return false;
    }
  }

  /** Nobody may ever call again: what failed is tried anew without. */
  #retryLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#due = true;
      try {
        this.update(new Map());
      } catch (error) {
        // Even reading was refused: once more, later.
        if (!(error instanceof KernelError)) throw error;
      }
      if (this.#unsure.size > 0) this.#retryLater();
    }, this.#wait).unref();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  get unheard(): ReadonlyMap<string, Sysctl> {
    return this.#desired.unheard;
  }

  wanted(identity: string): KernelItem | undefined {
    return this.#desired.slots.named(identity)?.want;
  }

  #readState(part?: KernelPart): Map<Slot, KernelItem> {
    return new Map(this.#kernel.read(part).map((item) => [this.#desired.slots.of(item), item]));
  }

  #readAnew(slots: readonly Slot[]): void {
    const read = this.#readState();
    this.#refresh(read, slots);
    for (const slot of read.keys()) this.#desired.slots.release(slot);
  }

  /**
   * Corrects what we believe of these. What a dump does not tell (a pod's side, sysctls) counts as absent while it
   * is wanted, and as present once it is not: putting and removing it again does no harm.
   */
  #refresh(read: ReadonlyMap<Slot, KernelItem>, slots: Iterable<Slot>): void {
    for (const slot of slots) {
      const { want } = slot;
      const known = this.#unsure.get(slot) ?? slot.have ?? want;
      const blind = known && !isReadable(known);
      const have = blind ? (want ? undefined : known) : read.get(slot);
      slot.have = have && want && satisfies(have, want) ? want : have;
    }
  }

  #apply(transaction: Transaction): void {
    if (isEmpty(transaction)) return;
    this.#send(transaction);
    for (const item of transaction.add) this.#settle(item, true);
    for (const { to } of transaction.change) this.#settle(to, true);
    for (const item of transaction.remove) this.#settle(item, false);
  }

  #send(transaction: Transaction): void {
    try {
      this.#kernel.apply(ordered(transaction));
    } catch (error) {
      const after = [...transaction.add, ...transaction.change.map((change) => change.to)];
      for (const item of [...after, ...transaction.remove]) {
        this.#unsure.set(this.#desired.slots.of(item), item);
      }
      this.#retryLater();
      throw error;
    }
  }

  /** Brings these to what is wanted. */
  #applyAmong(slots: ReadonlySet<Slot>): void {
    const transaction = diff(slots);
    if (!isEmpty(transaction)) this.#send(transaction);
    for (const slot of slots) {
      slot.have = slot.want;
      if (this.#unsure.size > 0) this.#unsure.delete(slot);
      this.#desired.slots.release(slot);
    }
  }

  #settle(item: KernelItem, present: boolean): void {
    const slot = this.#desired.slots.of(item);
    this.#unsure.delete(slot);
    slot.have = present ? item : undefined;
    this.#desired.slots.release(slot);
  }

  async repair(): Promise<string[]> {
    const { slots } = this.#desired;
    const read = this.#readState('links');
    const all = new Set(read.keys());
    for (const slot of slots.others()) {
      const item = slot.want ?? slot.have;
      if (!item || isLinkItem(item)) all.add(slot);
    }
    this.#refresh(read, all);
    const [seen, blind] = split(diff(all));
    this.#apply(seen);
    this.#forgetSettled(all);
    return [...texts(seen), ...this.#applyBlind(blind), ...(await this.repairRules())];
  }

  repairRules(): Promise<string[]> {
    const { slots } = this.#desired;
    const mend = (read: ReadonlyMap<Slot, KernelItem>, of: Iterable<Slot>) => texts(this.#mend(read, of));
    const look = () => repairRules({ kernel: this.#kernel, slots, mend, isClosed: () => this.#isClosed });
    this.#looking = this.#looking.then(look, look);
    return this.#looking;
  }

  /** Of what a dump tells: `read` is how these are. */
  #mend(read: ReadonlyMap<Slot, KernelItem>, slots: Iterable<Slot>): Transaction {
    this.#refresh(read, slots);
    const transaction = diff(slots);
    this.#apply(transaction);
    this.#forgetSettled(slots);
    return transaction;
  }

  repairLinks(touched: ReadonlySet<string>): string[] {
    const read = this.#readState('links');
    const all = new Set(read.keys());
    for (const slot of this.#desired.slots.others()) {
      if (slot.want && isLinkItem(slot.want) && isReadable(slot.want)) all.add(slot);
    }
    const seen = this.#mend(read, all);
    const changed = [...seen.add, ...seen.change.map(({ to }) => to)].map((item) => this.#desired.slots.of(item));
    const known = [...touched].flatMap((identity) => this.#desired.slots.named(identity) ?? []);
    const blind = this.#blindBeside([...known, ...changed]);
    const beside = [...blind.values()].map((item) => this.#desired.slots.of(item));
    this.#refresh(read, beside);
    const failures = this.#applyBlind(diff(beside));
    const restored = [...touched].flatMap((identity) => blind.get(identity) ?? []);
    return [...texts(seen), ...restored.map((item) => this.#restoredText(item)), ...failures];
  }

  /** In a pod's namespace: of which pod. */
  #restoredText(item: KernelItem): string {
    const verb = item.kind === 'sysctl' ? 'set' : 'added';
    const [key] = this.#desired.holders(this.#desired.slots.of(item));
    const cause = key === undefined ? undefined : this.#desired.fragments.get(key)?.cause;
    const whose = 'netns' in item && cause?.kind === 'Pod' ? ` (pod ${cause.namespace}/${cause.name})` : '';
    return `${verb} ${itemText(item)}${whose}`;
  }

  /** What a dump does not tell of the fragments that hold any of these. */
  #blindBeside(slots: readonly Slot[]): Map<string, KernelItem> {
    const keys = new Set(slots.flatMap((slot) => this.#desired.holders(slot)));
    const items = [...keys].flatMap((key) => this.#desired.fragments.get(key)?.items ?? []);
    return new Map(items.filter((item) => !isReadable(item)).map((item) => [identityOf(item), item]));
  }

  /** What is as it should be without our doing needs no retry. */
  #forgetSettled(slots: Iterable<Slot>): void {
    for (const slot of slots) {
      if (slot.have !== slot.want) continue;
      this.#unsure.delete(slot);
      this.#desired.slots.release(slot);
    }
  }

  /** One namespace at a time: a pod whose namespace is gone must not keep the others from repair. */
  #applyBlind({ add, remove }: Transaction): string[] {
    const failures: string[] = [];
    const groups = Map.groupBy([...add, ...remove], (item) => ('netns' in item ? item.netns : undefined));
    const wanted = new Set(add);
    for (const items of groups.values()) {
      try {
        const gone = items.filter((item) => !wanted.has(item));
        this.#apply({ add: items.filter((item) => wanted.has(item)), change: [], remove: gone });
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        failures.push(`could not ${error.message}`);
      }
    }
    return failures;
  }
}

function split({ add, change, remove }: Transaction): [seen: Transaction, blind: Transaction] {
  const blind = (item: KernelItem) => !isReadable(item);
  return [
    { add: add.filter(isReadable), change, remove: remove.filter(isReadable) },
    { add: add.filter(blind), change: [], remove: remove.filter(blind) },
  ];
}

function texts(transaction: Transaction): string[] {
  return [
    ...transaction.add.map((item) => `added ${itemText(item)}`),
    ...transaction.change.map(({ to }) => `changed ${itemText(to)}`),
    ...transaction.remove.map((item) => `removed ${itemText(item)}`),
  ];
}
