// Room controllers: what a Deployment wants next: ReplicaSets to create, change and delete, and its status.
import type { Deployment, ReplicaSet } from '../../objects/types.ts';
import { expired, newReplicaSet, nextRevision, type Revisions, refreshed, revisionsOf, scaled } from './revision.ts';
import { emptied, nextSize, shrunk } from './rollout.ts';
import { isScaling, rescaled } from './scale.ts';
import {
  countedStatus,
  type DeploymentStatus,
  hasDeadline,
  isComplete,
  pauseNews,
  type Rollout,
  rolloutStatus,
  untilDeadline,
  withCondition,
} from './status.ts';

export interface DeploymentState {
  readonly deployment: Deployment;
  /** Those that it controls. */
  readonly replicaSets: readonly ReplicaSet[];
  /** Whether any pod of this ReplicaSet is still there and has not ended. */
  readonly hasPods: (set: ReplicaSet) => boolean;
  readonly now: number;
}

export interface Step {
  readonly create: ReturnType<typeof newReplicaSet> | undefined;
  /** Whole objects as they shall be. */
  readonly update: readonly ReplicaSet[];
  readonly remove: readonly ReplicaSet[];
  readonly status: DeploymentStatus;
  /** For the annotation of the Deployment; undefined while no ReplicaSet has the present template. */
  readonly revision: number | undefined;
  readonly recheckAfterMs: number | undefined;
}

export function planDeployment(state: DeploymentState): Step {
  const { deployment } = state;
  const found = revisionsOf(deployment, state.replicaSets);
  const revision = nextRevision(found);
  const revisions = { ...found, current: found.current && refreshed(deployment, found.current, revision) };
  if (deployment.metadata.deletionTimestamp) return still(state, found, found, revision);
  if (deployment.spec.paused || isScaling(deployment, state.replicaSets)) {
    const sized = rescaled(deployment, revisions);
    const current = sized.find((set) => set.metadata.uid === found.current?.metadata.uid);
    return still(state, found, { current, old: sized.filter((set) => set !== current) }, revision);
  }
  return deployment.spec.strategy?.type === 'Recreate'
    ? recreate(state, found, revisions, revision)
    : roll(state, found, revisions, revision);
}

/** Nothing rolls: the Deployment is paused, being scaled or being deleted. */
function still(state: DeploymentState, found: Revisions, wanted: Revisions, revision: number): Step {
  const { deployment, now } = state;
  const status = countedStatus(rolloutOf(state, wanted));
  const news = hasDeadline(deployment) ? pauseNews(deployment) : undefined;
  return {
    create: undefined,
    update: changed(found, wanted),
    remove: deployment.spec.paused ? expired(deployment, wanted.old) : [],
    status: news ? { ...status, conditions: withCondition(status.conditions ?? [], news, now) } : status,
    revision: found.current && revision,
    recheckAfterMs: undefined,
  };
}

function roll(state: DeploymentState, found: Revisions, revisions: Revisions, revision: number): Step {
  const { deployment } = state;
  const { current, old } = revisions;
  const size = nextSize(deployment, old, current ? (current.spec.replicas ?? 1) : 0);
  if (!current) {
    const create = newReplicaSet(deployment, size, revision);
    const wanted = { current: asStored(create), old };
    return rolled(state, found, { ...wanted, old: shrunk(deployment, wanted) }, revision, create);
  }
  const grown = scaled(deployment, current, size);
  if (size !== (current.spec.replicas ?? 1)) return rolled(state, found, { current: grown, old }, revision);
  return rolled(state, found, { current: grown, old: shrunk(deployment, { current: grown, old }) }, revision);
}

function recreate(state: DeploymentState, found: Revisions, revisions: Revisions, revision: number): Step {
  const { deployment, hasPods } = state;
  const { current } = revisions;
  const old = emptied(deployment, revisions.old);
  if (changed(found, { current, old }).some((set) => set !== current) || old.some(hasPods)) {
    return rolled(state, found, { current, old }, revision);
  }
  const desired = deployment.spec.replicas ?? 1;
  if (current) return rolled(state, found, { current: scaled(deployment, current, desired), old }, revision);
  const create = newReplicaSet(deployment, desired, revision);
  return rolled(state, found, { current: asStored(create), old }, revision, create);
}

function rolled(
  state: DeploymentState,
  found: Revisions,
  wanted: Revisions,
  revision: number,
  create?: Step['create'],
): Step {
  const { deployment, now } = state;
  const status = rolloutStatus(rolloutOf(state, wanted), announcement(deployment, wanted, create));
  return {
    create,
    update: changed(found, wanted),
    remove: isComplete(deployment, status) ? expired(deployment, wanted.old) : [],
    status,
    revision: wanted.current && revision,
    recheckAfterMs: untilDeadline(deployment, status, now),
  };
}

function announcement(deployment: Deployment, { current }: Revisions, create: Step['create']) {
  const known = deployment.status?.conditions?.some(({ type }) => type === 'Progressing');
  if (!hasDeadline(deployment) || !current || (known && !create)) return undefined;
  const [reason, verb] = create ? ['NewReplicaSetCreated', 'Created'] : ['FoundNewReplicaSet', 'Found'];
  const message = `${verb} new replica set "${current.metadata.name}"`;
  return { type: 'Progressing', status: 'True', reason, message };
}

function rolloutOf({ deployment, now }: DeploymentState, { current, old }: Revisions): Rollout {
  return { deployment, current, sets: current ? [...old, current] : old, now };
}

/** Those of the wanted ReplicaSets that exist and differ from what was found. */
function changed(found: Revisions, wanted: Revisions): ReplicaSet[] {
  const known = new Set([found.current, ...found.old]);
  return [...wanted.old, wanted.current].filter(
    (set) => set !== undefined && !known.has(set) && !!set.metadata.uid,
  ) as ReplicaSet[];
}

/** A ReplicaSet that is yet to be created has neither uid nor status. */
function asStored(draft: ReturnType<typeof newReplicaSet>): ReplicaSet {
  return { apiVersion: 'apps/v1', kind: 'ReplicaSet', ...draft } as unknown as ReplicaSet;
}
