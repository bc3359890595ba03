// Room reconcile: one record for each item, found by the item.
import { identityOf } from '../kernel/identity.ts';
import type { KernelItem } from '../kernel/items.ts';
import type { NftElement } from '../kernel/nft-items.ts';

export interface Claim {
  readonly key: string;
  readonly item: KernelItem;
}

/** All that is known of one item. One record, for there are 100,000 of them in a large cluster. */
export interface Slot {
  readonly group: Group;
  readonly name: string;
  /** As it should be; undefined when no fragment holds it. */
  want: KernelItem | undefined;
  /** What the kernel holds because we put it there. */
  have: KernelItem | undefined;
  /** The one holder's key, whose item `want` is; or all claims, the last of which has its way. */
  claims: string | Claim[] | undefined;
}

/** Elements of one set that differ in the last part of their keys alone; or all items that are no elements. */
interface Group {
  readonly name: string;
  readonly slots: Map<string, Slot>;
}

/**
 * Items of one identity (kernel/identity.ts) have one slot. The identity of an element is not spelt out: a Service's endpoints, which
 * come one after the other, share all parts of their keys but the last.
 */
export class Slots {
  readonly #others: Group = { name: '', slots: new Map() };
  readonly #elements = new Map<string, Group>();
  #lastElement: NftElement | undefined;
  #lastGroup: Group | undefined;

  /** Made when it is not there. */
  of(item: KernelItem): Slot {
    const group = item.kind === 'element' ? this.#groupOf(item) : this.#others;
    const name = nameOf(item);
    let slot = group.slots.get(name);
    if (!slot) {
      slot = { group, name, want: undefined, have: undefined, claims: undefined };
      group.slots.set(name, slot);
    }
    return slot;
  }

  /** Undefined: nobody wants the element, and it is not there. */
  find(element: NftElement): Slot | undefined {
    const siblings = this.#lastElement && areSiblings(this.#lastElement, element) ? this.#lastGroup : undefined;
    return (siblings ?? this.#elements.get(groupName(element)))?.slots.get(nameOf(element));
  }

  /** By identityOf() of what is no element. */
  named(identity: string): Slot | undefined {
    return this.#others.slots.get(identity);
  }

  *values(): Iterable<Slot> {
    yield* this.others();
    yield* this.elements();
  }

  /** All but elements. */
  others(): Iterable<Slot> {
    return this.#others.slots.values();
  }

  *elements(): Iterable<Slot> {
    for (const { slots } of this.#elements.values()) yield* slots.values();
  }

  /** Forgets what is neither wanted nor there. */
  release({ group, name, want, have }: Slot): void {
    if (want !== undefined || have !== undefined) return;
    group.slots.delete(name);
    if (group.slots.size > 0 || group === this.#others) return;
    this.#elements.delete(group.name);
    this.#lastElement = undefined;
  }

  #groupOf(element: NftElement): Group {
    if (this.#lastElement && areSiblings(this.#lastElement, element)) return this.#lastGroup!;
    const name = groupName(element);
    let group = this.#elements.get(name);
    if (!group) {
      group = { name, slots: new Map() };
      this.#elements.set(name, group);
    }
    this.#lastElement = element;
    this.#lastGroup = group;
    return group;
  }
}

function nameOf(item: KernelItem): string {
  return item.kind === 'element' ? String(item.key.at(-1)) : identityOf(item);
}

function groupName({ family, table, set, key }: NftElement): string {
  let name = `${family} ${table} ${set}`;
  for (let i = 0; i < key.length - 1; i++) name += ` ${key[i]}`;
  return name;
}

function areSiblings(a: NftElement, b: NftElement): boolean {
  if (a.set !== b.set || a.table !== b.table || a.family !== b.family || a.key.length !== b.key.length) return false;
  for (let i = a.key.length - 2; i >= 0; i--) if (a.key[i] !== b.key[i]) return false;
  return true;
}
