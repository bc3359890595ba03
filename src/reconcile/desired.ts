// Room reconcile: the desired state as the sum of keyed fragments, where several may hold the same item.
import { identityOf } from '../kernel/identity.ts';
import type { KernelItem, Sysctl } from '../kernel/items.ts';
import { isAnnounced } from '../kernel/sysctls.ts';
import type { Fragment } from '../plan/plan.ts';

interface Claim {
  readonly key: string;
  readonly item: KernelItem;
}

/** An item stays as long as one fragment holds it. Where fragments disagree on its fields, the one that came last has its way. */
export class DesiredState {
  readonly fragments = new Map<string, Fragment>();
  /** Identity to the item that is wanted. */
  readonly items = new Map<string, KernelItem>();
  /** Those of the items that change without anybody's hearing of it. */
  readonly unheard = new Map<string, Sysctl>();
  /** The one holder's key, whose item `items` has; or all claims, the last of which has its way. */
  readonly #claims = new Map<string, string | Claim[]>();

  /** Replaces or drops one fragment; adds the identities that it held or holds to `touched` and returns that. */
  set(key: string, fragment: Fragment | undefined, touched = new Set<string>()): Set<string> {
    for (const item of this.fragments.get(key)?.items ?? []) {
      const identity = identityOf(item);
      touched.add(identity);
      this.#drop(identity, key);
    }
    if (fragment) this.fragments.set(key, fragment);
    else this.fragments.delete(key);
    for (const item of fragment?.items ?? []) {
      const identity = identityOf(item);
      touched.add(identity);
      this.#claim(identity, key, item);
    }
    return touched;
  }

  /** Keys of the fragments that hold the item. */
  holders(identity: string): string[] {
    const claims = this.#claims.get(identity);
    if (!claims) return [];
    return Array.isArray(claims) ? claims.map((claim) => claim.key) : [claims];
  }

  // Nearly every item has one holder: no list is kept for those.
  #claim(identity: string, key: string, item: KernelItem): void {
    const claims = this.#claims.get(identity);
    if (claims === undefined) this.#claims.set(identity, key);
    else if (Array.isArray(claims)) claims.push({ key, item });
    else
      this.#claims.set(identity, [
        { key: claims, item: this.items.get(identity)! },
        { key, item },
      ]);
    this.#put(identity, item);
  }

  #put(identity: string, item: KernelItem): void {
    this.items.set(identity, item);
    if (item.kind === 'sysctl' && !isAnnounced(item)) this.unheard.set(identity, item);
  }

  #drop(identity: string, key: string): void {
    const claims = this.#claims.get(identity);
    const rest = Array.isArray(claims) ? claims.filter((claim) => claim.key !== key) : [];
    const last = rest.at(-1);
    if (last) {
      this.#claims.set(identity, rest.length === 1 ? last.key : rest);
      this.#put(identity, last.item);
    } else {
      this.#claims.delete(identity);
      this.items.delete(identity);
      this.unheard.delete(identity);
    }
  }
}
