// Room scheduler: whether a node suits what a pod says about nodes: its node selector and node affinity.
import { requirementHolds } from '../objects/select.ts';
import type { Node, Pod } from '../objects/types.ts';

type Operator = Parameters<typeof requirementHolds>[0]['operator'];

type Affinity = NonNullable<Pod['spec']['affinity']>;
type NodeAffinity = NonNullable<Affinity['nodeAffinity']>;
type NodeSelectorTerm = NonNullable<
  NodeAffinity['requiredDuringSchedulingIgnoredDuringExecution']
>['nodeSelectorTerms'][number];
type Requirement = NonNullable<NodeSelectorTerm['matchExpressions']>[number];

export function matchesNodeSelector({ spec }: Pod, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  if (!Object.entries(spec.nodeSelector ?? {}).every(([name, value]) => labels[name] === value)) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || required.nodeSelectorTerms.some((term) => matchesTerm(term, node));
}

/** All requirements of a term must hold; a term without any matches nothing. */
export function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  return (
    matchExpressions.every((requirement) => holds(requirement, labels[requirement.key])) &&
    matchFields.every((field) => field.key === 'metadata.name' && holds(field, node.metadata.name))
  );
}

function holds({ operator, values = [] }: Requirement, value: string | undefined): boolean {
  return requirementHolds({ operator: operator as Operator, values }, value);
}
