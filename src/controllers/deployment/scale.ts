// Room controllers: a Deployment that was scaled: its ReplicaSets grow or shrink in proportion to their sizes.
import type { Deployment, ReplicaSet } from '../../objects/types.ts';
import { limits } from './limits.ts';
import { DESIRED_REPLICAS, MAX_REPLICAS, type Revisions, scaled, sizeOf } from './revision.ts';

/** spec.replicas has changed since the ReplicaSets were last sized. */
export function isScaling(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
  const desired = String(limits(deployment).desired);
  return sets.some((set) => sizeOf(set) > 0 && (annotation(set, DESIRED_REPLICAS) ?? desired) !== desired);
}

function annotation(set: ReplicaSet, name: string): string | undefined {
  return set.metadata.annotations?.[name];
}

/** All ReplicaSets at their new sizes. In the middle of a rollout the risk stays spread as it was. */
export function rescaled(deployment: Deployment, { current, old }: Revisions): ReplicaSet[] {
  const sets = current ? [...old, current] : [...old];
  const { desired, surge } = limits(deployment);
  const active = sets.filter((set) => sizeOf(set) > 0);
  const only = active.length > 1 ? undefined : (active[0] ?? current ?? old.at(-1));
  if (only) return sets.map((set) => (set === only ? scaled(deployment, set, desired) : set));
  if (current && isSaturated(deployment, current)) {
    return sets.map((set) => (set !== current && sizeOf(set) > 0 ? scaled(deployment, set, 0) : set));
  }
  if (deployment.spec.strategy?.type === 'Recreate') return sets;
  const total = active.reduce((sum, set) => sum + sizeOf(set), 0);
  const sizes = proportions(deployment, active, (desired > 0 ? desired + surge : 0) - total);
  return sets.map((set) => (sizes.has(set) ? scaled(deployment, set, sizes.get(set)!) : set));
}

function isSaturated(deployment: Deployment, current: ReplicaSet): boolean {
  const { desired } = limits(deployment);
  const sized = sizeOf(current) === desired && annotation(current, DESIRED_REPLICAS) === String(desired);
  return sized && current.status?.availableReplicas === desired;
}

/** `change` pods shared out; what rounding leaves over goes to the largest (newer first when growing, older when shrinking). */
export function proportions(
  deployment: Deployment,
  active: readonly ReplicaSet[],
  change: number,
): Map<ReplicaSet, number> {
  const newerFirst = [...active].reverse();
  const order = (change > 0 ? newerFirst : [...active]).sort((a, b) => sizeOf(b) - sizeOf(a));
  const sizes = new Map<ReplicaSet, number>();
  let left = change;
  for (const set of order) {
    const share = left === 0 ? 0 : fraction(deployment, set);
    const step = change > 0 ? Math.max(0, Math.min(share, left)) : Math.min(0, Math.max(share, left));
    sizes.set(set, sizeOf(set) + step);
    left -= step;
  }
  const [largest] = order;
  if (largest) sizes.set(largest, Math.max(0, sizes.get(largest)! + left));
  return sizes;
}

/** By how much this ReplicaSet would change, had it its old share of the new total. */
function fraction(deployment: Deployment, set: ReplicaSet): number {
  const { desired, surge } = limits(deployment);
  if (desired === 0) return -sizeOf(set);
  const before = Number(annotation(set, MAX_REPLICAS) ?? deployment.status?.replicas ?? 0);
  if (!before) return 0;
  return Math.round((sizeOf(set) * (desired + surge)) / before) - sizeOf(set);
}
