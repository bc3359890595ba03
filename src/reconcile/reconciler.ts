// Room reconcile: the one loop that makes the kernel hold the plan.
import type { Fragment } from '../plan/plan.ts';

export interface Reconciler {
  /** Replaces (or with undefined removes) fragments by key and applies the difference of those alone, in one transaction. Throws a KernelError; what could not be applied is tried again by the next call or by repair(). */
  update(changes: ReadonlyMap<string, Fragment | undefined>): void;
  /** After a restart: reads the kernel once and removes what is ours and in no fragment, adds what is missing. Call when every planner has delivered its first plan. Returns what it repaired, as text. */
  repair(): string[];
  /** The plan as it stands, for status, trace and tests. */
  readonly plan: ReadonlyMap<string, Fragment>;
}
