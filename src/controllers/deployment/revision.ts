// Room controllers: the ReplicaSets of a Deployment as its revisions: which is the new one, and what annotations they carry.
import type { Deployment, ReplicaSet } from '../../objects/types.ts';
import { controllerRef } from '../refs.ts';
import { HASH_LABEL, templateHash, templateText } from './hash.ts';
import { limits } from './limits.ts';

export const REVISION = 'deployment.kubernetes.io/revision';
export const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';

/** Annotations of the Deployment that say nothing about a revision. */
const NOT_COPIED = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'deprecated.daemonset.template.generation',
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
]);

type Annotations = Readonly<Record<string, string>>;

export interface Revisions {
  /** The ReplicaSet of the Deployment's present template; undefined before it is created. */
  readonly current: ReplicaSet | undefined;
  /** All others, oldest first. */
  readonly old: readonly ReplicaSet[];
}

export function revisionsOf(deployment: Deployment, replicaSets: Iterable<ReplicaSet>): Revisions {
  const sorted = [...replicaSets].sort(byAge);
  const wanted = templateText(deployment.spec.template);
  const current = sorted.find((set) => set.spec.template && templateText(set.spec.template) === wanted);
  return { current, old: sorted.filter((set) => set !== current) };
}

/** Oldest first; names decide between those of one second. */
function byAge(a: ReplicaSet, b: ReplicaSet): number {
  const ages = Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp);
  return ages || (a.metadata.name < b.metadata.name ? -1 : 1);
}

export function revisionOf(object: { metadata: { annotations?: Annotations } }): number {
  return Number(object.metadata.annotations?.[REVISION] ?? 0) || 0;
}

/** The number that the present template's ReplicaSet must have: one more than any other. */
export function nextRevision(revisions: Revisions): number {
  return Math.max(0, ...revisions.old.map(revisionOf)) + 1;
}

/** The ReplicaSet to create for the present template. */
export function newReplicaSet(deployment: Deployment, replicas: number, revision: number) {
  const { metadata, spec, status } = deployment;
  const hash = templateHash(spec.template, status?.collisionCount);
  const labels = { ...spec.template.metadata?.labels, [HASH_LABEL]: hash };
  return {
    metadata: {
      name: `${metadata.name}-${hash}`,
      namespace: metadata.namespace!,
      labels,
      annotations: { ...copiedAnnotations(deployment), ...scaleAnnotations(deployment), [REVISION]: String(revision) },
      ownerReferences: [controllerRef(deployment)],
    },
    spec: {
      replicas,
      ...(spec.minReadySeconds !== undefined && { minReadySeconds: spec.minReadySeconds }),
      selector: {
        ...spec.selector,
        matchLabels: { ...spec.selector.matchLabels, [HASH_LABEL]: hash },
      },
      template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
    },
  };
}

/** The present ReplicaSet with the revision, annotations and minReadySeconds that it must have; itself when it has them. */
export function refreshed(deployment: Deployment, current: ReplicaSet, revision: number): ReplicaSet {
  const before = current.metadata.annotations ?? {};
  const annotations = { ...before, ...copiedAnnotations(deployment), ...raisedRevision(before, revision) };
  const same = Object.entries(annotations).every(([name, value]) => before[name] === value);
  const { minReadySeconds } = deployment.spec;
  if (same && (current.spec.minReadySeconds ?? 0) === (minReadySeconds ?? 0)) return current;
  return {
    ...current,
    metadata: { ...current.metadata, annotations },
    spec: { ...current.spec, minReadySeconds: minReadySeconds ?? 0 },
  };
}

/** A revision that becomes current again gets a new number and remembers its old ones. */
function raisedRevision(before: Annotations, revision: number): Annotations {
  const old = Number(before[REVISION] ?? 0);
  if (old >= revision) return {};
  if (!old) return { [REVISION]: String(revision) };
  const history = [before[REVISION_HISTORY], before[REVISION]].filter(Boolean).join(',');
  return { [REVISION]: String(revision), [REVISION_HISTORY]: history };
}

function copiedAnnotations({ metadata }: Deployment): Annotations {
  return Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(([name]) => !NOT_COPIED.has(name)));
}

/** What tells later runs that the Deployment was scaled since: see isScaling(). */
export function scaleAnnotations(deployment: Deployment): Annotations {
  const { desired, surge } = limits(deployment);
  return { [DESIRED_REPLICAS]: String(desired), [MAX_REPLICAS]: String(desired + surge) };
}

/** The ReplicaSet with another size and up-to-date scale annotations; itself when nothing changes. */
export function scaled(deployment: Deployment, set: ReplicaSet, replicas: number): ReplicaSet {
  const wanted = scaleAnnotations(deployment);
  const before = set.metadata.annotations ?? {};
  const annotated = Object.entries(wanted).every(([name, value]) => before[name] === value);
  if (annotated && sizeOf(set) === replicas) return set;
  return {
    ...set,
    metadata: { ...set.metadata, annotations: { ...before, ...wanted } },
    spec: { ...set.spec, replicas },
  };
}

export function sizeOf(set: ReplicaSet): number {
  return set.spec.replicas ?? 1;
}

/** Old revisions beyond the history limit which have no pods, lowest revision first. */
export function expired(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const alive = old.filter((set) => !set.metadata.deletionTimestamp).sort((a, b) => revisionOf(a) - revisionOf(b));
  const surplus = Math.max(0, alive.length - (deployment.spec.revisionHistoryLimit ?? 10));
  return alive.slice(0, surplus).filter((set) => {
    const observed = (set.status?.observedGeneration ?? 0) >= (set.metadata.generation ?? 0);
    return observed && sizeOf(set) === 0 && !set.status?.replicas;
  });
}
