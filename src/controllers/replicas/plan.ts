// Room controllers: what a ReplicaSet or ReplicationController wants of its pods: how many to create, which to delete, its status.

import type { LabelSelector } from '../../objects/select.ts';
import { matchesSelector } from '../../objects/select.ts';
import { timestamp } from '../../objects/time.ts';
import type { Pod, ReplicaSet, ReplicationController } from '../../objects/types.ts';
import { availableAt, isPodActive, isPodReady } from '../pods.ts';
import { rankForDeletion } from './rank.ts';

export type ReplicaOwner = ReplicaSet | ReplicationController;
export type ReplicaStatus = NonNullable<ReplicaSet['status']>;

export interface ReplicaPlan {
  readonly create: number;
  readonly remove: readonly Pod[];
  readonly status: ReplicaStatus;
  /** When a pod that is ready becomes available, in ms from now. */
  readonly recheckAfterMs: number | undefined;
}

/** Pods created or deleted by one run at most, so that one owner cannot starve the others. */
const BURST = 500;

/** A ReplicationController's selector is a plain map, and falls back to the labels of its template. */
export function selectorOf(owner: ReplicaOwner): LabelSelector | undefined {
  if (owner.kind === 'ReplicaSet') return (owner as ReplicaSet).spec.selector;
  const { selector, template } = (owner as ReplicationController).spec;
  return { matchLabels: selector ?? template?.metadata?.labels ?? {} };
}

/**
 * `pods` are those that the owner controls. `colocated(pod)` tells how many pods of related owners share its node.
 */
export function planReplicas(
  owner: ReplicaOwner,
  pods: readonly Pod[],
  now: number,
  colocated: (pod: Pod) => number = () => 0,
): ReplicaPlan {
  const active = pods.filter(isPodActive);
  const surplus = active.length - (owner.spec.replicas ?? 1);
  const leaving = owner.metadata.deletionTimestamp !== undefined;
  const remove = surplus > 0 && !leaving ? rankForDeletion(active, colocated).slice(0, Math.min(surplus, BURST)) : [];
  const pending = active
    .map((pod) => availableAt(pod, owner.spec.minReadySeconds ?? 0))
    .filter((at) => at !== undefined);
  const next = Math.min(...pending.filter((at) => at > now));
  return {
    create: leaving ? 0 : Math.min(Math.max(0, -surplus), BURST),
    remove,
    status: replicaStatus(owner, active, pending.filter((at) => at <= now).length),
    recheckAfterMs: Number.isFinite(next) ? next - now : undefined,
  };
}

function replicaStatus(owner: ReplicaOwner, active: readonly Pod[], available: number): ReplicaStatus {
  const labels = owner.spec.template?.metadata?.labels;
  const labelled = active.filter((pod) => matchesSelector({ matchLabels: labels ?? {} }, pod.metadata.labels)).length;
  const ready = active.filter(isPodReady).length;
  return {
    replicas: active.length,
    ...(labelled && { fullyLabeledReplicas: labelled }),
    ...(ready && { readyReplicas: ready }),
    ...(available && { availableReplicas: available }),
    observedGeneration: owner.metadata.generation ?? 0,
    ...(owner.status?.conditions && { conditions: owner.status.conditions }),
  };
}

/** The status with the condition ReplicaFailure set to this failure, or without the condition. */
export function withFailure(
  status: ReplicaStatus,
  failure: { reason: 'FailedCreate' | 'FailedDelete'; message: string } | undefined,
  now: number,
): ReplicaStatus {
  const { conditions = [], ...rest } = status;
  const others = conditions.filter((condition) => condition.type !== 'ReplicaFailure');
  const before = conditions.find((condition) => condition.type === 'ReplicaFailure');
  if (!failure) return others.length > 0 ? { ...rest, conditions: others } : rest;
  if (before?.status === 'True' && before.reason === failure.reason) return status;
  const lastTransitionTime = timestamp(now);
  return {
    ...rest,
    conditions: [...others, { type: 'ReplicaFailure', status: 'True', lastTransitionTime, ...failure }],
  };
}
