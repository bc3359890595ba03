// Room objects: columns of Pods; above all STATUS, which sums up what all containers do in one word.
import type { V1ContainerState, V1ContainerStatus } from '@kubernetes/client-node';
import type { Json, Pod } from '../types.ts';
import { humanDuration } from './age.ts';
import { AGE, type Column, column, NAME, NONE, WIDE } from './column.ts';

type ContainerStatus = Json<V1ContainerStatus>;
type State = Json<V1ContainerState>;

/** What to call a container that has ended without a reason of its own. */
function endWord({ terminated }: State): string {
  if (terminated!.reason) return terminated!.reason;
  return terminated!.signal ? `Signal:${terminated!.signal}` : `ExitCode:${terminated!.exitCode}`;
}

interface Summary {
  readonly status: string;
  readonly ready: number;
  readonly total: number;
  readonly restarts: number;
  /** Milliseconds since the epoch. */
  readonly lastRestart: number | undefined;
}

interface Restarts {
  count: number;
  last: number | undefined;
}

function addRestarts(restarts: Restarts, { restartCount, lastState }: ContainerStatus): void {
  restarts.count += restartCount;
  const ended = lastState?.terminated?.finishedAt;
  if (ended) restarts.last = Math.max(restarts.last ?? 0, Date.parse(ended));
}

export function summarize(pod: Pod): Summary {
  const { spec, status } = pod;
  let word = status?.reason || status?.phase || '';
  if ((spec.schedulingGates?.length ?? 0) > 0 && conditionReason(pod, 'PodScheduled') === 'SchedulingGated') {
    word = 'SchedulingGated';
  }
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const initial = initProgress(pod, new Set(sidecars.map(({ name }) => name)));
  const restarts: Restarts = { count: initial.restarts.count, last: initial.restarts.last };
  let ready = initial.readySidecars;
  if (initial.word !== undefined) word = initial.word;
  if (initial.word === undefined || conditionStatus(pod, 'Initialized')) {
    restarts.count = initial.sidecarRestarts.count;
    restarts.last = initial.sidecarRestarts.last;
    const main = mainProgress(status?.containerStatuses ?? [], restarts);
    ready += main.ready;
    word = main.word ?? word;
    // One container is over, another runs: the pod as a whole runs.
    if (word === 'Completed' && main.running) word = conditionStatus(pod, 'Ready') ? 'Running' : 'NotReady';
  }
  if (pod.metadata.deletionTimestamp) {
    if (status?.reason === 'NodeLost') word = 'Unknown';
    else if (status?.phase !== 'Succeeded' && status?.phase !== 'Failed') word = 'Terminating';
  }
  const total = spec.containers.length + sidecars.length;
  return { status: word, ready, total, restarts: restarts.count, lastRestart: restarts.last };
}

function conditionReason({ status }: Pod, type: string): string | undefined {
  return status?.conditions?.find((condition) => condition.type === type)?.reason;
}

function conditionStatus({ status }: Pod, type: string): boolean {
  return status?.conditions?.some((condition) => condition.type === type && condition.status === 'True') ?? false;
}

/** The first init container that is not done gives the word: Init:1/3, Init:Error, Init:CrashLoopBackOff. */
function initProgress({ spec, status }: Pod, sidecars: ReadonlySet<string>) {
  const restarts: Restarts = { count: 0, last: undefined };
  const sidecarRestarts: Restarts = { count: 0, last: undefined };
  let readySidecars = 0;
  for (const [i, container] of (status?.initContainerStatuses ?? []).entries()) {
    addRestarts(restarts, container);
    if (sidecars.has(container.name)) {
      addRestarts(sidecarRestarts, container);
      if (container.ready) readySidecars++;
    }
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (sidecars.has(container.name) && container.started) continue;
    let word = `Init:${i}/${spec.initContainers?.length ?? 0}`;
    if (terminated) word = `Init:${endWord(container.state!)}`;
    else if (waiting?.reason && waiting.reason !== 'PodInitializing') word = `Init:${waiting.reason}`;
    return { word, restarts, sidecarRestarts, readySidecars };
  }
  return { word: undefined, restarts, sidecarRestarts, readySidecars };
}

/** The word of the first container that has one. */
function mainProgress(statuses: readonly ContainerStatus[], restarts: Restarts) {
  let word: string | undefined;
  let ready = 0;
  let running = false;
  for (const container of statuses.toReversed()) {
    addRestarts(restarts, container);
    const { waiting, terminated, running: runs } = container.state ?? {};
    if (waiting?.reason) word = waiting.reason;
    else if (terminated) word = endWord(container.state!);
    else if (container.ready && runs) {
      running = true;
      ready++;
    }
  }
  return { word, ready, running };
}

function restartsCell(pod: Pod, now: number): string {
  const { restarts, lastRestart } = summarize(pod);
  if (restarts === 0 || lastRestart === undefined) return String(restarts);
  return `${restarts} (${humanDuration(now - lastRestart)} ago)`;
}

/** `1/2`: how many readiness gates are open. */
function gatesCell(pod: Pod): string {
  const gates = pod.spec.readinessGates ?? [];
  if (gates.length === 0) return NONE;
  return `${gates.filter(({ conditionType }) => conditionStatus(pod, conditionType)).length}/${gates.length}`;
}

export const podColumns: readonly Column<Pod>[] = [
  NAME,
  column('Ready', (pod) => {
    const { ready, total } = summarize(pod);
    return `${ready}/${total}`;
  }),
  column('Status', (pod) => summarize(pod).status),
  column('Restarts', restartsCell),
  AGE,
  column('IP', ({ status }) => status?.podIPs?.[0]?.ip ?? status?.podIP ?? NONE, WIDE),
  column('Node', ({ spec }) => spec.nodeName || NONE, WIDE),
  column('Nominated Node', ({ status }) => status?.nominatedNodeName || NONE, WIDE),
  column('Readiness Gates', gatesCell, WIDE),
];
