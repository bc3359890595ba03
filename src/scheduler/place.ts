// Room scheduler: one decision: the node for a pod, or the sentence that says why there is none.
import { type NamespaceLabels, podAffinityFilter } from './affinity.ts';
import { refusals, unschedulableMessage } from './filter.ts';
import { bestNode } from './score.ts';
import type { NodeInfo, PodInfo } from './state.ts';

export type Placement = { readonly node: string } | { readonly message: string };

export function place(
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  labelsOf: NamespaceLabels = () => undefined,
): Placement {
  const affinity = podAffinityFilter(pod, nodes, labelsOf);
  const reasons: (readonly string[])[] = [];
  const candidates = nodes.filter((info) => {
    const against = refusals(pod, info);
    const lonely = against.length === 0 ? affinity(info) : undefined;
    reasons.push(lonely ? [lonely] : against);
    return against.length === 0 && !lonely;
  });
  if (candidates.length === 0) return { message: unschedulableMessage(reasons) };
  return { node: bestNode(pod, candidates, labelsOf).name };
}
