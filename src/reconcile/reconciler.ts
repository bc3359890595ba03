// Room reconcile: the one loop that makes the kernel hold the plan.
import type { KernelItem, Sysctl } from '../kernel/items.ts';
import type { KernelPart } from '../kernel/kernel.ts';
import type { Fragment } from '../plan/plan.ts';

/** A part of the kernel's state to look at, and identities of items there that somebody is known to have touched. */
export interface Suspicion {
  readonly part: KernelPart;
  readonly touched: ReadonlySet<string>;
}

export interface Reconciler {
  /** Replaces (or with undefined removes) fragments by key and applies the difference of those alone, in one transaction. Throws a KernelError; what could not be applied is tried again by the next call, by repair(), and after a while by itself. */
  update(changes: ReadonlyMap<string, Fragment | undefined>): void;
  /** After a restart: reads the kernel once and removes what is ours and in no fragment, adds what is missing. Call when every planner has delivered its first plan. Returns what it repaired, as text. */
  repair(): string[];
  /**
   * While it runs, when others may have changed the kernel: the same for one part of it. What a dump does not tell (a pod's
   * side, sysctls) is put again for the fragments alone of which something was missing or touched.
   */
  repair(suspicion: Suspicion): string[];
  /** The item of that identity as it should be, or undefined when no fragment wants one. */
  wanted(identity: string): KernelItem | undefined;
  /** Sysctls that are wanted and whose change the kernel tells nobody, by identity. */
  readonly unheard: ReadonlyMap<string, Sysctl>;
  /** Ends retries on its own account. The kernel stays open, and as it is. */
  close(): void;
  /** The plan as it stands, for status, trace and tests. */
  readonly plan: ReadonlyMap<string, Fragment>;
}
