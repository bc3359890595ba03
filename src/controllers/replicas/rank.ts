// Room controllers: which of too many pods go first.
import type { Pod } from '../../objects/types.ts';
import { isPodReady, podCondition } from '../pods.ts';

/** Lower goes first. The order of the table is the order of the criteria (ActivePodsWithRanks in Kubernetes). */
const CRITERIA: readonly ((pod: Pod, colocated: number) => number)[] = [
  (pod) => (pod.spec.nodeName ? 1 : 0),
  (pod) => ['Pending', 'Unknown', 'Running'].indexOf(pod.status?.phase ?? 'Pending'),
  (pod) => (isPodReady(pod) ? 1 : 0),
  deletionCost,
  (_, colocated) => -colocated,
  (pod) => -(isPodReady(pod) ? Date.parse(podCondition(pod, 'Ready')?.lastTransitionTime ?? '') || 0 : 0),
  (pod) => -Math.max(0, ...(pod.status?.containerStatuses ?? []).map((status) => status.restartCount)),
  (pod) => -Date.parse(pod.metadata.creationTimestamp),
];

/** All pods, those to be deleted first at the front. Equal ones keep an order that does not depend on the cache. */
export function rankForDeletion(pods: readonly Pod[], colocated: (pod: Pod) => number): Pod[] {
  const ranked = pods.map((pod) => ({ pod, rank: CRITERIA.map((criterion) => criterion(pod, colocated(pod))) }));
  ranked.sort((a, b) => compareRanks(a.rank, b.rank) || (a.pod.metadata.uid < b.pod.metadata.uid ? -1 : 1));
  return ranked.map(({ pod }) => pod);
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  const differs = a.findIndex((value, i) => value !== b[i]);
  return differs < 0 ? 0 : a[differs]! - b[differs]!;
}

function deletionCost(pod: Pod): number {
  const text = pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? '0';
  return /^-?(0|[1-9]\d*)$/.test(text) ? Number(text) : 0;
}
