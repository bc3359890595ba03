// Room controllers: one step of a rollout: the sizes that the ReplicaSets of a Deployment may have now.
import type { Deployment, ReplicaSet } from '../../objects/types.ts';
import { limits } from './limits.ts';
import { type Revisions, scaled, sizeOf } from './revision.ts';

/**
 * The size of the current ReplicaSet: as many pods as the surge allows beside the old ones, never more than wanted.
 * `current` is 0 before it exists.
 */
export function nextSize(deployment: Deployment, old: readonly ReplicaSet[], current: number): number {
  const { desired, surge } = limits(deployment);
  if (current >= desired) return desired;
  const room = desired + surge - total(old) - current;
  return current + Math.max(0, Math.min(room, desired - current));
}

/**
 * RollingUpdate: the old ReplicaSets after this step. Pods that are not available go first: they add nothing to the service,
 * and a rollout of a broken revision must not be held up by another broken one.
 */
export function shrunk(deployment: Deployment, { current, old }: Revisions): readonly ReplicaSet[] {
  const { desired, unavailable } = limits(deployment);
  const minimum = desired - unavailable;
  const coming = current ? sizeOf(current) - available(current) : 0;
  const removable = total(old) + (current ? sizeOf(current) : 0) - minimum - coming;
  if (removable <= 0) return old;
  let left = removable;
  const healthy = old.map((set) => {
    const fewer = Math.max(0, Math.min(left, sizeOf(set) - available(set)));
    left -= fewer;
    return fewer > 0 ? scaled(deployment, set, sizeOf(set) - fewer) : set;
  });
  const spare = healthy.reduce((sum, set) => sum + available(set), current ? available(current) : 0) - minimum;
  left = Math.min(left, spare);
  return healthy.map((set) => {
    const fewer = Math.max(0, Math.min(left, sizeOf(set)));
    left -= fewer;
    return fewer > 0 ? scaled(deployment, set, sizeOf(set) - fewer) : set;
  });
}

/** Recreate: no old pod may be left when the first new one is made. */
export function emptied(deployment: Deployment, old: readonly ReplicaSet[]): readonly ReplicaSet[] {
  return old.map((set) => (sizeOf(set) > 0 ? scaled(deployment, set, 0) : set));
}

/** The status can lag behind the spec: pods beyond spec.replicas are on their way out and count no more. */
function available(set: ReplicaSet): number {
  return Math.min(sizeOf(set), set.status?.availableReplicas ?? 0);
}

function total(sets: readonly ReplicaSet[]): number {
  return sets.reduce((sum, set) => sum + sizeOf(set), 0);
}
