// Room scheduler: which nodes can take a pod, and in Kubernetes' words why the others cannot.
import { hostPortsCollide } from '../objects/pod-ports.ts';
import { untolerated } from '../objects/tolerations.ts';
import { matchesNodeSelector } from './match.ts';
import type { NodeInfo, PodInfo } from './state.ts';

/** Reasons against the node; none when it fits. */
type Filter = (pod: PodInfo, info: NodeInfo) => readonly string[];

const UNSCHEDULABLE = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
const NO = (reason: string, refused: boolean): readonly string[] => (refused ? [reason] : []);

/** In this order; the first that refuses gives the reasons. */
const FILTERS: readonly Filter[] = [
  ({ pod }, { node }) =>
    NO(
      'node(s) were unschedulable',
      !!node.spec?.unschedulable && untolerated(pod, [UNSCHEDULABLE], ['NoSchedule']).length > 0,
    ),
  ({ pod }, { node }) => {
    const [taint] = untolerated(pod, node.spec?.taints, ['NoSchedule', 'NoExecute']);
    return taint ? [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`] : [];
  },
  ({ pod }, { node }) => NO("node(s) didn't match Pod's node affinity/selector", !matchesNodeSelector(pod, node)),
  (pod, info) => NO("node(s) didn't have free ports for the requested pod ports", portsTaken(pod, info)),
  missingResources,
];

export function refusals(pod: PodInfo, info: NodeInfo): readonly string[] {
  for (const filter of FILTERS) {
    const reasons = filter(pod, info);
    if (reasons.length > 0) return reasons;
  }
  return [];
}

function missingResources({ requests }: PodInfo, { allocatable, requested, pods }: NodeInfo): string[] {
  const reasons: string[] = [];
  const limit = allocatable.get('pods');
  if (limit !== undefined && pods.size + 1 > limit) reasons.push('Too many pods');
  for (const [name, amount] of requests) {
    const free = (allocatable.get(name) ?? 0) - (requested.get(name) ?? 0);
    if (amount > 0 && amount > free) reasons.push(`Insufficient ${name}`);
  }
  return reasons;
}

function portsTaken({ hostPorts }: PodInfo, { pods }: NodeInfo): boolean {
  if (hostPorts.length === 0) return false;
  return [...pods.values()].some((other) =>
    other.hostPorts.some((taken) => hostPorts.some((wanted) => hostPortsCollide(wanted, taken))),
  );
}

/** `0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.` */
export function unschedulableMessage(reasons: readonly (readonly string[])[]): string {
  if (reasons.length === 0) return 'no nodes available to schedule pods';
  const counts = new Map<string, number>();
  for (const reason of reasons.flat()) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const texts = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${reasons.length} nodes are available: ${texts.join(', ')}.`;
}
