// Room node: whether the node takes a pod that was bound to it, also by hand, past the scheduler: as the kubelet decides, and in its words.
import { hostPortsCollide, podHostPorts } from '../objects/pod-ports.ts';
import { objectKey, type Pod } from '../objects/types.ts';

/** What the pod's status and an event say of it. */
export interface Refusal {
  readonly reason: 'NodePorts';
  readonly message: string;
}

/** `others`: those that the node has taken and that are not over. */
export function refusalOf(pod: Pod, others: Iterable<Pod>): Refusal | undefined {
  const wanted = podHostPorts(pod);
  if (wanted.length === 0) return undefined;
  for (const other of others) {
    const taken = podHostPorts(other);
    const port = wanted.find((each) => taken.some((held) => hostPortsCollide(each, held)));
    if (!port) continue;
    const why = "node(s) didn't have free ports for the requested pod ports";
    const who = `${port.protocol} ${port.hostPort} is held by pod ${objectKey(other)}`;
    return { reason: 'NodePorts', message: `Predicate NodePorts failed: ${why}: ${who}` };
  }
  return undefined;
}

/** Whether it has no more use for its ports. */
export function isOver({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}
