// Room controllers: the conditions of a Node, and the taints that follow from them.
import { timestamp } from '../../objects/time.ts';
import type { Taint } from '../../objects/tolerations.ts';
import type { Node } from '../../objects/types.ts';

export type NodeCondition = NonNullable<NonNullable<Node['status']>['conditions']>[number];

export function readyCondition({ status }: Node): NodeCondition | undefined {
  return status?.conditions?.find(({ type }) => type === 'Ready');
}

const NOT_READY = 'node.kubernetes.io/not-ready';
const UNREACHABLE = 'node.kubernetes.io/unreachable';
const PREFIX = 'node.kubernetes.io/';

/** Condition that is True when something is wrong, to the taint that keeps new pods away. */
const PROBLEMS = new Map([
  ['MemoryPressure', `${PREFIX}memory-pressure`],
  ['DiskPressure', `${PREFIX}disk-pressure`],
  ['PIDPressure', `${PREFIX}pid-pressure`],
  ['NetworkUnavailable', `${PREFIX}network-unavailable`],
]);
const CORDONED = `${PREFIX}unschedulable`;
const OURS = new Set([NOT_READY, UNREACHABLE, CORDONED, ...PROBLEMS.values()]);

/** All taints that the node should have; those of others stay, and known ones keep the time at which they were added. */
export function taintsFor(node: Node, now: number): Taint[] {
  const before = node.spec?.taints ?? [];
  const timeAdded = timestamp(now);
  const wanted = wantedTaints(node).map((taint) => {
    return before.find(({ key, effect }) => key === taint.key && effect === taint.effect) ?? { ...taint, timeAdded };
  });
  return [...before.filter(({ key }) => !OURS.has(key)), ...wanted];
}

function wantedTaints(node: Node): Taint[] {
  const ready = readyCondition(node)?.status;
  const taints: Taint[] = [];
  // A node that has never told how it is takes no pods, but keeps those that it has.
  if (ready === undefined) taints.push({ key: NOT_READY, effect: 'NoSchedule' });
  else if (ready !== 'True') {
    const key = ready === 'Unknown' ? UNREACHABLE : NOT_READY;
    taints.push({ key, effect: 'NoSchedule' }, { key, effect: 'NoExecute' });
  }
  for (const { type, status } of node.status?.conditions ?? []) {
    const key = PROBLEMS.get(type);
    if (key && status === 'True') taints.push({ key, effect: 'NoSchedule' });
  }
  if (node.spec?.unschedulable) taints.push({ key: CORDONED, effect: 'NoSchedule' });
  return taints;
}

const REPORTED = new Set(['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure']);

/** The conditions of a node from which nothing was heard: what it reported itself is Unknown now. */
export function lostConditions(node: Node, now: number): NodeCondition[] {
  const lastTransitionTime = timestamp(now);
  const before = node.status?.conditions ?? [];
  const never = { reason: 'NodeStatusNeverUpdated', message: 'Kubelet never posted node status.' };
  const stopped = { reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.' };
  const lost = before.map((condition) =>
    REPORTED.has(condition.type) && condition.status !== 'Unknown'
      ? { ...condition, status: 'Unknown', ...stopped, lastTransitionTime }
      : condition,
  );
  if (readyCondition(node)) return lost;
  return [...lost, { type: 'Ready', status: 'Unknown', ...never, lastTransitionTime }];
}
