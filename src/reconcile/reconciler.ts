// Room reconcile: the one loop that makes the kernel hold the plan.
import type { Fragment } from '../plan/plan.ts';

export interface Reconciler {
  /** Replaces (or with undefined removes) fragments by key and applies the difference of those alone, in one transaction. Throws a KernelError; what could not be applied is tried again by the next call, by repair(), and after a while by itself. */
  update(changes: ReadonlyMap<string, Fragment | undefined>): void;
  /** After a restart: reads the kernel once and removes what is ours and in no fragment, adds what is missing. Call when every planner has delivered its first plan. Returns what it repaired, as text. */
  repair(): string[];
  /** Ends retries on its own account. The kernel stays open, and as it is. */
  close(): void;
  /** The plan as it stands, for status, trace and tests. */
  readonly plan: ReadonlyMap<string, Fragment>;
}
