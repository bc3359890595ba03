// Room reconcile: the desired state as the sum of keyed fragments, where several may hold the same item.
import { identityOf } from '../kernel/identity.ts';
import type { KernelItem, Sysctl } from '../kernel/items.ts';
import { isAnnounced } from '../kernel/sysctls.ts';
import type { Fragment } from '../plan/plan.ts';
import { type Slot, Slots } from './slots.ts';

const NONE: ReadonlySet<Slot> = new Set();

/** An item stays as long as one fragment holds it. Where fragments disagree on its fields, the one that came last has its way. */
export class DesiredState {
  readonly fragments = new Map<string, Fragment>();
  readonly slots = new Slots();
  /** Those of the items that change without anybody's hearing of it. */
  readonly unheard = new Map<string, Sysctl>();
  /** Of each fragment, in the order of its items. */
  readonly #held = new Map<string, readonly Slot[]>();

  /** All that is wanted, by identity. */
  get items(): Map<string, KernelItem> {
    const wanted = [...this.slots.values()].flatMap(({ want }) => want ?? []);
    return new Map(wanted.map((item) => [identityOf(item), item]));
  }

  /**
   * Replaces or drops one fragment; adds what it held or holds to `touched` and returns that. An item that is the very object it was
   * before is passed over, so that a large Service's change is as small as a small one's.
   */
  set(key: string, fragment: Fragment | undefined, touched = new Set<Slot>()): Set<Slot> {
    const before = this.#itemsOf(key);
    const dropped = before ? gone(before, fragment) : NONE;
    for (const slot of dropped) {
      this.#drop(slot, key);
      touched.add(slot);
    }
    if (!fragment) {
      this.fragments.delete(key);
      this.#held.delete(key);
      return touched;
    }
    const held = fragment.items.map((item) => {
      const known = before?.get(item);
      if (known && !dropped.has(known)) return known;
      const slot = known ?? this.slots.of(item);
      this.#claim(slot, key, item);
      touched.add(slot);
      return slot;
    });
    this.fragments.set(key, fragment);
    this.#held.set(key, held);
    return touched;
  }

  #itemsOf(key: string): Map<KernelItem, Slot> | undefined {
    const held = this.#held.get(key);
    return held && new Map(this.fragments.get(key)!.items.map((item, i) => [item, held[i]!]));
  }

  /** Keys of the fragments that hold the item. */
  holders({ claims }: Slot): string[] {
    if (!claims) return [];
    return Array.isArray(claims) ? claims.map((claim) => claim.key) : [claims];
  }

  // Nearly every item has one holder: no list is kept for those.
  #claim(slot: Slot, key: string, item: KernelItem): void {
    const { claims } = slot;
    if (claims === undefined) slot.claims = key;
    else if (Array.isArray(claims)) claims.push({ key, item });
    else
      slot.claims = [
        { key: claims, item: slot.want! },
        { key, item },
      ];
    this.#put(slot, item);
  }

  #put(slot: Slot, item: KernelItem): void {
    slot.want = item;
    if (item.kind === 'sysctl' && !isAnnounced(item)) this.unheard.set(identityOf(item), item);
  }

  #drop(slot: Slot, key: string): void {
    const rest = Array.isArray(slot.claims) ? slot.claims.filter((claim) => claim.key !== key) : [];
    const last = rest.at(-1);
    if (last) {
      slot.claims = rest.length === 1 ? last.key : rest;
      this.#put(slot, last.item);
    } else {
      if (slot.want?.kind === 'sysctl') this.unheard.delete(identityOf(slot.want));
      slot.claims = undefined;
      slot.want = undefined;
    }
  }
}

/** What the fragment holds no more. */
function gone(before: ReadonlyMap<KernelItem, Slot>, fragment: Fragment | undefined): Set<Slot> {
  const staying = new Set(fragment?.items);
  const slots = new Set<Slot>();
  for (const [item, slot] of before) if (!staying.has(item)) slots.add(slot);
  return slots;
}
