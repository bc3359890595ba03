// Room api: admission of pods: service account, tolerations, priority and quality of service.
import { compareQuantities } from '../objects/quantity.ts';
import type { Pod } from '../objects/types.ts';

type Toleration = NonNullable<Pod['spec']['tolerations']>[number];

const SYSTEM_PRIORITIES: Readonly<Record<string, number>> = {
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
};

/** A pod stays bound to a node that is lost for this long. */
const LOST_NODE_SECONDS = 300;

export function admitPod(pod: Pod): void {
  const { spec } = pod;
  spec.serviceAccountName ||= spec.serviceAccount || 'default';
  spec.serviceAccount = spec.serviceAccountName;
  spec.priority ??= SYSTEM_PRIORITIES[spec.priorityClassName ?? ''] ?? 0;
  spec.preemptionPolicy ??= 'PreemptLowerPriority';
  for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
    if (spec.tolerations?.some((toleration) => tolerates(toleration, key))) continue;
    const added = { key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: LOST_NODE_SECONDS };
    spec.tolerations = [...(spec.tolerations ?? []), added];
  }
  pod.status = { ...pod.status, qosClass: qosClass(spec) };
}

function tolerates({ key, effect, operator }: Toleration, taint: string): boolean {
  return (!effect || effect === 'NoExecute') && (key === taint || (!key && operator === 'Exists'));
}

/** Guaranteed: limits for all, and requests equal to them; BestEffort: neither anywhere; Burstable: the rest. */
export function qosClass(spec: Pod['spec']): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const amounts = containers.map(({ resources }) => ['cpu', 'memory'].map((name) => amountsOf(resources, name)));
  const all = amounts.flat();
  if (all.every(({ limit, request }) => limit === undefined && request === undefined)) return 'BestEffort';
  const guaranteed = all.every(
    ({ limit, request }) => limit !== undefined && (request === undefined || compareQuantities(limit, request) === 0),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

function amountsOf(resources: Pod['spec']['containers'][number]['resources'], name: string) {
  const given = (amount: string | undefined) => (amount === undefined || /^0+$/.test(amount) ? undefined : amount);
  return { limit: given(resources?.limits?.[name]), request: given(resources?.requests?.[name]) };
}
