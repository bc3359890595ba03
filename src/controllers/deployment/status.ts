// Room controllers: the status of a Deployment: its counts and the conditions Available, Progressing and ReplicaFailure.
import { timestamp } from '../../objects/time.ts';
import type { Deployment, ReplicaSet } from '../../objects/types.ts';
import { limits } from './limits.ts';
import { sizeOf } from './revision.ts';

export type DeploymentStatus = NonNullable<Deployment['status']>;
export type Condition = NonNullable<DeploymentStatus['conditions']>[number];
type News = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** What a run works on: the current ReplicaSet, all of them, and the time (ms since the epoch). */
export interface Rollout {
  readonly deployment: Deployment;
  readonly current: ReplicaSet | undefined;
  readonly sets: readonly ReplicaSet[];
  readonly now: number;
}

/** Kubernetes' way to say "no deadline". */
const NO_DEADLINE = 0x7fffffff;

/** Counts and Available; the other conditions as they were. */
export function countedStatus({ deployment, current, sets, now }: Rollout): DeploymentStatus {
  const sum = (count: (set: ReplicaSet) => number | undefined, of = sets) =>
    of.reduce((total, set) => total + (count(set) ?? 0), 0);
  const available = sum((set) => set.status?.availableReplicas);
  const { desired, unavailable } = limits(deployment);
  const enough = available >= desired - unavailable;
  const counts = {
    replicas: sum((set) => set.status?.replicas),
    updatedReplicas: current?.status?.replicas ?? 0,
    readyReplicas: sum((set) => set.status?.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum(sizeOf) - available),
    collisionCount: deployment.status?.collisionCount ?? 0,
  };
  const news: News = {
    type: 'Available',
    status: enough ? 'True' : 'False',
    reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
    message: `Deployment ${enough ? 'has' : 'does not have'} minimum availability.`,
  };
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    ...Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)),
    conditions: withCondition(deployment.status?.conditions ?? [], news, now),
  };
}

/** The status at the end of a run of a rollout: counts and how it progresses. */
export function rolloutStatus(rollout: Rollout, announced?: News): DeploymentStatus {
  const { deployment, sets, current, now } = rollout;
  const status = countedStatus(rollout);
  let conditions = status.conditions ?? [];
  if (announced) conditions = withCondition(conditions, announced, now);
  const progress = hasDeadline(deployment) ? progressNews(rollout, status) : undefined;
  if (progress) conditions = withProgress(conditions, progress, now);
  if (!hasDeadline(deployment)) conditions = conditions.filter(({ type }) => type !== 'Progressing');
  const failure = [current, ...sets].flatMap((set) => set?.status?.conditions ?? []).find(isFailure);
  conditions = conditions.filter(({ type }) => type !== 'ReplicaFailure');
  if (failure) {
    const before = deployment.status?.conditions?.filter(isFailure) ?? [];
    conditions.push(...withCondition(before, failure as News, now));
  }
  return { ...status, conditions };
}

function isFailure(condition: { type: string; status: string }): boolean {
  return condition.type === 'ReplicaFailure' && condition.status === 'True';
}

export function hasDeadline({ spec }: Deployment): boolean {
  return (spec.progressDeadlineSeconds ?? 600) < NO_DEADLINE;
}

/** Everything wanted runs, is available and is of the new revision, and nothing else runs. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const { desired } = limits(deployment);
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0, observedGeneration = 0 } = status;
  const observed = observedGeneration >= (deployment.metadata.generation ?? 0);
  return observed && updatedReplicas === desired && replicas === desired && availableReplicas === desired;
}

function progressNews(rollout: Rollout, status: DeploymentStatus): News | undefined {
  const { deployment, current, now } = rollout;
  const before = progressing(deployment);
  const { replicas = 0, updatedReplicas = 0 } = status;
  if (before?.reason === 'NewReplicaSetAvailable' && replicas === updatedReplicas) return undefined;
  const subject = current ? `ReplicaSet "${current.metadata.name}"` : `Deployment "${deployment.metadata.name}"`;
  const news = (value: string, reason: string, message: string): News => ({
    type: 'Progressing',
    status: value,
    reason,
    message: `${subject} ${message}`,
  });
  if (isComplete(deployment, status)) {
    return news('True', 'NewReplicaSetAvailable', 'has successfully progressed.');
  }
  if (hasProgressed(deployment.status ?? {}, status)) return news('True', 'ReplicaSetUpdated', 'is progressing.');
  if (isLate(deployment, now)) return news('False', 'ProgressDeadlineExceeded', 'has timed out progressing.');
  return undefined;
}

function hasProgressed(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const old = (status: DeploymentStatus) => (status.replicas ?? 0) - (status.updatedReplicas ?? 0);
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    old(after) < old(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function progressing({ status }: Deployment): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === 'Progressing');
}

function isLate(deployment: Deployment, now: number): boolean {
  const condition = progressing(deployment);
  if (!condition || condition.reason === 'NewReplicaSetAvailable') return false;
  return condition.reason === 'ProgressDeadlineExceeded' || deadline(deployment, condition) < now;
}

function deadline({ spec, metadata }: Deployment, condition: Condition): number {
  const from = Date.parse(condition.lastUpdateTime ?? metadata.creationTimestamp);
  return from + (spec.progressDeadlineSeconds ?? 600) * 1000;
}

/** In how many ms a rollout that stands still must be looked at again; undefined when it is over. */
export function untilDeadline(deployment: Deployment, status: DeploymentStatus, now: number): number | undefined {
  const condition = status.conditions?.find(({ type }) => type === 'Progressing');
  const over = condition?.reason === 'NewReplicaSetAvailable' || condition?.reason === 'ProgressDeadlineExceeded';
  if (!condition || over || !hasDeadline(deployment)) return undefined;
  // Times in conditions are whole seconds.
  return Math.max(0, deadline(deployment, condition) - now) + 1000;
}

/** The condition whose spec.paused says it has to be; undefined when it is so already. */
export function pauseNews({ spec, status }: Deployment): News | undefined {
  const reason = status?.conditions?.find(({ type }) => type === 'Progressing')?.reason;
  if (reason === 'ProgressDeadlineExceeded' || !!spec.paused === (reason === 'DeploymentPaused')) return undefined;
  const [word, text] = spec.paused ? ['DeploymentPaused', 'paused'] : ['DeploymentResumed', 'resumed'];
  return { type: 'Progressing', status: 'Unknown', reason: word, message: `Deployment is ${text}` };
}

/** The status of a Deployment whose new ReplicaSet the server does not take. */
export function refused(deployment: Deployment, name: string, error: unknown, now: number): DeploymentStatus {
  const why = error instanceof Error ? error.message : String(error);
  const message = `Failed to create new replica set "${name}": ${why}`;
  const news = { type: 'Progressing', status: 'False', reason: 'ReplicaSetCreateError', message };
  return { ...deployment.status, conditions: withCondition(deployment.status?.conditions ?? [], news, now) };
}

/** Unchanged when status and reason are; a new reason alone keeps the time of the last transition. */
export function withCondition(conditions: readonly Condition[], news: News, now: number): Condition[] {
  const before = conditions.find(({ type }) => type === news.type);
  if (before?.status === news.status && before?.reason === news.reason) return [...conditions];
  return replaced(conditions, news, before, now);
}

/** Progress renews lastUpdateTime, from which the deadline counts, even when nothing else of the condition changes. */
function withProgress(conditions: readonly Condition[], news: News, now: number): Condition[] {
  if (news.reason !== 'ReplicaSetUpdated') return withCondition(conditions, news, now);
  const before = conditions.find(({ type }) => type === news.type);
  return replaced(conditions, news, before, now);
}

function replaced(
  conditions: readonly Condition[],
  news: News,
  before: Condition | undefined,
  now: number,
): Condition[] {
  const time = timestamp(now);
  const lastTransitionTime = before?.status === news.status ? (before.lastTransitionTime ?? time) : time;
  const others = conditions.filter(({ type }) => type !== news.type);
  return [...others, { ...news, lastUpdateTime: time, lastTransitionTime }];
}
