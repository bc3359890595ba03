// Room controllers: how many pods of a Deployment may be too many or missing while it rolls.
import type { Deployment } from '../../objects/types.ts';

export interface Limits {
  /** spec.replicas */
  readonly desired: number;
  /** Pods above `desired` that may exist. */
  readonly surge: number;
  /** Pods below `desired` that may be available. */
  readonly unavailable: number;
}

/** Percentages of surge round up, those of unavailability down; when both come to 0, one pod may be unavailable. */
export function limits({ spec }: Deployment): Limits {
  const desired = spec.replicas ?? 1;
  if (spec.strategy?.type === 'Recreate') return { desired, surge: 0, unavailable: 0 };
  const { maxSurge = '25%', maxUnavailable = '25%' } = spec.strategy?.rollingUpdate ?? {};
  const surge = portion(maxSurge, desired, Math.ceil);
  const unavailable = Math.min(desired, portion(maxUnavailable, desired, Math.floor));
  return surge === 0 && unavailable === 0
    ? { desired, surge, unavailable: Math.min(1, desired) }
    : { desired, surge, unavailable };
}

/** A number, or a percentage of `whole`. */
function portion(value: unknown, whole: number, round: (n: number) => number): number {
  const text = String(value);
  return text.endsWith('%') ? round((whole * Number(text.slice(0, -1))) / 100) : Number(text);
}
