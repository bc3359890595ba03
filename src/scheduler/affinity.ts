// Room scheduler: pods that want to be near other pods, or far from them.
import { matchesSelector } from '../objects/select.ts';
import type { Pod } from '../objects/types.ts';
import type { NodeInfo, PodInfo } from './state.ts';

type Affinity = NonNullable<Pod['spec']['affinity']>;
export type PodAffinityTerm = NonNullable<
  NonNullable<Affinity['podAffinity']>['requiredDuringSchedulingIgnoredDuringExecution']
>[number];

/** Labels of a namespace, for terms with a namespaceSelector. */
export type NamespaceLabels = (name: string) => Readonly<Record<string, string>> | undefined;

export function requiredTerms(pod: Pod, which: 'podAffinity' | 'podAntiAffinity'): readonly PodAffinityTerm[] {
  return pod.spec.affinity?.[which]?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
}

export function preferredTerms(pod: Pod): { term: PodAffinityTerm; weight: number }[] {
  const of = (which: 'podAffinity' | 'podAntiAffinity', sign: 1 | -1) =>
    (pod.spec.affinity?.[which]?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
      ({ podAffinityTerm, weight }) => ({ term: podAffinityTerm, weight: sign * weight }),
    );
  return [...of('podAffinity', 1), ...of('podAntiAffinity', -1)];
}

/** Whether `other` is one of those that a term of a pod in `namespace` is about. */
export function isMeant(term: PodAffinityTerm, namespace: string, other: Pod, labelsOf: NamespaceLabels): boolean {
  const home = other.metadata.namespace!;
  const { namespaces = [], namespaceSelector } = term;
  const own = namespaces.length === 0 && !namespaceSelector && home === namespace;
  const selected = !!namespaceSelector && matchesSelector(namespaceSelector, labelsOf(home) ?? {});
  return (own || selected || namespaces.includes(home)) && matchesSelector(term.labelSelector, other.metadata.labels);
}

export function domainOf({ node }: NodeInfo, { topologyKey }: PodAffinityTerm): string | undefined {
  return node.metadata.labels?.[topologyKey];
}

/** How many pods that a term is about are in each domain of its topology. */
export function countByDomain(
  term: PodAffinityTerm,
  pod: Pod,
  nodes: readonly NodeInfo[],
  labelsOf: NamespaceLabels,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const info of nodes) {
    const domain = domainOf(info, term);
    if (domain === undefined) continue;
    const meant = [...info.pods.values()].filter((other) =>
      isMeant(term, pod.metadata.namespace!, other.pod, labelsOf),
    );
    if (meant.length > 0) counts.set(domain, (counts.get(domain) ?? 0) + meant.length);
  }
  return counts;
}

/** Why a node is refused because of pods in its domain; computed once for a pod, asked for each node. */
export function podAffinityFilter(
  { pod }: PodInfo,
  nodes: readonly NodeInfo[],
  labelsOf: NamespaceLabels,
): (node: NodeInfo) => string | undefined {
  const near = requiredTerms(pod, 'podAffinity').map((term) => ({
    term,
    counts: countByDomain(term, pod, nodes, labelsOf),
  }));
  const far = requiredTerms(pod, 'podAntiAffinity').map((term) => ({
    term,
    counts: countByDomain(term, pod, nodes, labelsOf),
  }));
  const forbidden = domainsThatRefuse(pod, nodes, labelsOf);
  // The first of a group that wants to be together has nobody to be near to.
  const isFirst =
    near.every(({ counts }) => counts.size === 0) &&
    near.every(({ term }) => isMeant(term, pod.metadata.namespace!, pod, labelsOf));
  return (node) => {
    const close = near.every(({ term, counts }) => {
      const domain = domainOf(node, term);
      return domain !== undefined && (isFirst || counts.has(domain));
    });
    if (!close) return "node(s) didn't match pod affinity rules";
    if (far.some(({ term, counts }) => counts.has(domainOf(node, term) ?? ''))) {
      return "node(s) didn't match pod anti-affinity rules";
    }
    const labels = Object.entries(node.node.metadata.labels ?? {});
    if (forbidden.size > 0 && labels.some(([name, value]) => forbidden.has(`${name}=${value}`))) {
      return "node(s) didn't satisfy existing pods anti-affinity rules";
    }
    return undefined;
  };
}

/** `topologyKey=value` of the domains in which a pod with anti-affinity to this one runs. */
function domainsThatRefuse(pod: Pod, nodes: readonly NodeInfo[], labelsOf: NamespaceLabels): Set<string> {
  const domains = new Set<string>();
  for (const info of nodes) {
    for (const other of info.pods.values()) {
      for (const term of requiredTerms(other.pod, 'podAntiAffinity')) {
        const domain = domainOf(info, term);
        const meant = domain !== undefined && isMeant(term, other.pod.metadata.namespace!, pod, labelsOf);
        if (meant) domains.add(`${term.topologyKey}=${domain}`);
      }
    }
  }
  return domains;
}
