// Room scheduler: which of the nodes that can take a pod should.
import { untolerated } from '../objects/tolerations.ts';
import type { Pod } from '../objects/types.ts';
import { countByDomain, domainOf, type NamespaceLabels, preferredTerms } from './affinity.ts';
import { matchesTerm } from './match.ts';
import type { NodeInfo, PodInfo } from './state.ts';

/** Scores of all candidates, each from 0 to 100, higher is better. */
type Scorer = (pod: PodInfo, nodes: readonly NodeInfo[], labelsOf: NamespaceLabels) => number[];

const SCORERS: readonly { readonly weight: number; readonly score: Scorer }[] = [
  { weight: 1, score: leastAllocated },
  { weight: 2, score: spread },
  { weight: 3, score: avoidedTaints },
  { weight: 2, score: preferredNodes },
  { weight: 2, score: preferredPods },
];

/** The best node; of equal ones that with the fewest pods, then the first by name. */
export function bestNode(pod: PodInfo, nodes: readonly NodeInfo[], labelsOf: NamespaceLabels): NodeInfo {
  const scores = SCORERS.map(({ weight, score }) => score(pod, nodes, labelsOf).map((value) => value * weight));
  const totals = nodes.map((info, i) => ({ info, total: scores.reduce((sum, of) => sum + of[i]!, 0) }));
  return totals.reduce((best, other) => (isBetter(other, best) ? other : best)).info;
}

function isBetter(a: { info: NodeInfo; total: number }, b: { info: NodeInfo; total: number }): boolean {
  if (a.total !== b.total) return a.total > b.total;
  if (a.info.pods.size !== b.info.pods.size) return a.info.pods.size < b.info.pods.size;
  return a.info.name < b.info.name;
}

/** What a container without requests is taken for, so that nodes full of such pods do not look empty. */
const ASSUMED = new Map([
  ['cpu', 100],
  ['memory', 200 * 1024 ** 2],
]);

/** The share of CPU and memory that would be left. */
function leastAllocated(pod: PodInfo, nodes: readonly NodeInfo[]): number[] {
  return nodes.map(({ allocatable, requested, pods }) => {
    const shares = [...ASSUMED].map(([name, assumed]) => {
      const capacity = allocatable.get(name) ?? 0;
      const wanting = [...pods.values()].filter(({ requests }) => !requests.get(name)).length;
      const held = (requested.get(name) ?? 0) + wanting * assumed + (pod.requests.get(name) || assumed);
      return capacity > 0 ? Math.max(0, capacity - held) / capacity : 0;
    });
    return Math.floor((100 * shares.reduce((a, b) => a + b, 0)) / shares.length);
  });
}

/** Few pods of the same owner, or with the same labels where there is no owner. */
function spread({ pod }: PodInfo, nodes: readonly NodeInfo[]): number[] {
  const group = groupOf(pod);
  const counts = nodes.map(({ pods }) => {
    return group ? [...pods.values()].filter((other) => groupOf(other.pod) === group).length : 0;
  });
  return normalized(counts, 'fewer is better');
}

function groupOf({ metadata }: Pod): string | undefined {
  const controller = metadata.ownerReferences?.find((ref) => ref.controller);
  if (controller) return controller.uid;
  const labels = Object.entries(metadata.labels ?? {}).sort();
  return labels.length > 0 ? `${metadata.namespace}/${JSON.stringify(labels)}` : undefined;
}

function avoidedTaints({ pod }: PodInfo, nodes: readonly NodeInfo[]): number[] {
  const counts = nodes.map(({ node }) => untolerated(pod, node.spec?.taints, ['PreferNoSchedule']).length);
  return normalized(counts, 'fewer is better');
}

function preferredNodes({ pod }: PodInfo, nodes: readonly NodeInfo[]): number[] {
  const preferred = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const weights = nodes.map(({ node }) =>
    preferred.reduce((sum, { preference, weight }) => sum + (matchesTerm(preference, node) ? weight : 0), 0),
  );
  return normalized(weights, 'more is better');
}

function preferredPods({ pod }: PodInfo, nodes: readonly NodeInfo[], labelsOf: NamespaceLabels): number[] {
  const terms = preferredTerms(pod).map(({ term, weight }) => {
    return { term, weight, counts: countByDomain(term, pod, nodes, labelsOf) };
  });
  const weights = nodes.map((info) =>
    terms.reduce((sum, { term, weight, counts }) => sum + weight * (counts.get(domainOf(info, term) ?? '') ?? 0), 0),
  );
  return normalized(weights, 'more is better');
}

/** Spread over 0 to 100; all 0 when there is nothing to choose. */
function normalized(values: readonly number[], sense: 'more is better' | 'fewer is better'): number[] {
  const low = Math.min(...values);
  const range = Math.max(...values) - low;
  return values.map((value) => {
    if (range === 0) return 0;
    const share = (value - low) / range;
    return Math.round(100 * (sense === 'more is better' ? share : 1 - share));
  });
}
