// Room reconcile: the one loop that makes the kernel hold the plan.
import type { KernelItem, Sysctl } from '../kernel/items.ts';
import type { Fragment } from '../plan/plan.ts';

export interface Reconciler {
  /** Replaces (or with undefined removes) fragments by key and applies the difference of those alone, in one transaction. Throws a KernelError; what could not be applied is tried again by the next call, by repair(), and after a while by itself. */
  update(changes: ReadonlyMap<string, Fragment | undefined>): void;
  /**
   * After a restart: reads the kernel once and removes what is ours and in no fragment, adds what is missing. Call when every planner has
   * delivered its first plan. Resolves with what it repaired, as text.
   */
  repair(): Promise<string[]>;
  /**
   * While it runs, when others may have changed links and what hangs on them. What a dump does not tell (a pod's side, sysctls) is put
   * again for the fragments alone of which something was missing or is `touched`, by identity.
   */
  repairLinks(touched: ReadonlySet<string>): string[];
  /** The same for nftables, in turns of the event loop that are short whatever there is; changes go on meanwhile. One after the other. */
  repairRules(): Promise<string[]>;
  /** The item of that identity as it should be, or undefined when no fragment wants one. */
  wanted(identity: string): KernelItem | undefined;
  /** Sysctls that are wanted and whose change the kernel tells nobody, by identity. */
  readonly unheard: ReadonlyMap<string, Sysctl>;
  /** Ends retries on its own account. The kernel stays open, and as it is. */
  close(): void;
  /** The plan as it stands, for status, trace and tests. */
  readonly plan: ReadonlyMap<string, Fragment>;
}
