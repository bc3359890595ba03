// Room objects: validation of Deployments, ReplicaSets and ReplicationControllers.
import { matchesSelector } from '../select.ts';
import type { Deployment, ReplicaSet, ReplicationController } from '../types.ts';
import {
  type Causes,
  checkImmutable,
  checkNotNegative,
  checkOneOf,
  forbidden,
  invalidValue,
  NOT_NEGATIVE,
  required,
} from './causes.ts';
import { validateLabels } from './metadata.ts';
import { validateTemplate } from './pod.ts';
import { validateWorkloadSelector } from './selectors.ts';

type DeploymentSpec = NonNullable<Deployment['spec']>;

export function validateDeployment(causes: Causes, { spec }: Deployment): void {
  if (!spec) {
    causes.push(required('spec.selector'));
    return;
  }
  checkNotNegative(causes, 'spec.replicas', spec.replicas);
  validateWorkloadSelector(causes, spec.selector, spec.template?.metadata?.labels);
  validateTemplate(causes, 'spec.template', spec.template);
  validateStrategy(causes, spec.strategy ?? {});
  checkNotNegative(causes, 'spec.minReadySeconds', spec.minReadySeconds);
  checkNotNegative(causes, 'spec.revisionHistoryLimit', spec.revisionHistoryLimit);
  const deadline = spec.progressDeadlineSeconds;
  checkNotNegative(causes, 'spec.progressDeadlineSeconds', deadline);
  if (deadline !== undefined && deadline <= (spec.minReadySeconds ?? 0)) {
    causes.push(invalidValue('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds'));
  }
}

function validateStrategy(causes: Causes, { type, rollingUpdate }: NonNullable<DeploymentSpec['strategy']>): void {
  checkOneOf(causes, 'spec.strategy.type', type, ['Recreate', 'RollingUpdate']);
  if (!rollingUpdate) return;
  const field = 'spec.strategy.rollingUpdate';
  if (type === 'Recreate') {
    causes.push(forbidden(field, "may not be specified when strategy `type` is 'Recreate'"));
    return;
  }
  const unavailable = validateShare(causes, `${field}.maxUnavailable`, rollingUpdate.maxUnavailable ?? 0);
  const surge = validateShare(causes, `${field}.maxSurge`, rollingUpdate.maxSurge ?? 0);
  if (unavailable === 0 && surge === 0) {
    const why = 'may not be 0 when `maxSurge` is 0';
    causes.push(invalidValue(`${field}.maxUnavailable`, rollingUpdate.maxUnavailable ?? 0, why));
  }
  if (typeof rollingUpdate.maxUnavailable === 'string' && (unavailable ?? 0) > 100) {
    causes.push(invalidValue(`${field}.maxUnavailable`, rollingUpdate.maxUnavailable, 'must not be greater than 100%'));
  }
}

/** The number itself, or that of the percentage; undefined when it is neither. */
function validateShare(causes: Causes, field: string, share: number | string): number | undefined {
  if (typeof share === 'number') {
    if (share < 0) causes.push(invalidValue(field, share, NOT_NEGATIVE));
    return share;
  }
  if (/^\d+%$/.test(share)) return Number(share.slice(0, -1));
  const why =
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%', or '93%', regex used for validation is '[0-9]+%')";
  causes.push(invalidValue(field, share, why));
  return undefined;
}

export function validateReplicaSet(causes: Causes, { spec }: ReplicaSet): void {
  if (!spec) {
    causes.push(required('spec.selector'));
    return;
  }
  checkNotNegative(causes, 'spec.replicas', spec.replicas);
  checkNotNegative(causes, 'spec.minReadySeconds', spec.minReadySeconds);
  validateWorkloadSelector(causes, spec.selector, spec.template?.metadata?.labels);
  validateTemplate(causes, 'spec.template', spec.template);
}

export function validateSelectorUpdate(
  causes: Causes,
  now: Deployment | ReplicaSet,
  old: Deployment | ReplicaSet,
): void {
  checkImmutable(causes, 'spec.selector', now.spec?.selector, old.spec?.selector);
}

export function validateReplicationController(causes: Causes, { spec }: ReplicationController): void {
  checkNotNegative(causes, 'spec.replicas', spec?.replicas);
  checkNotNegative(causes, 'spec.minReadySeconds', spec?.minReadySeconds);
  const selector = spec?.selector ?? {};
  validateLabels(causes, 'spec.selector', selector);
  if (Object.keys(selector).length === 0) causes.push(required('spec.selector'));
  if (!spec?.template) {
    causes.push(required('spec.template'));
    return;
  }
  const labels = spec.template.metadata?.labels;
  if (!matchesSelector({ matchLabels: selector }, labels)) {
    causes.push(invalidValue('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'));
  }
  validateTemplate(causes, 'spec.template', spec.template);
}
