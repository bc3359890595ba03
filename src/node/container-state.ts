// Room node: one entry of a pod's containerStatuses, as Kubernetes words it.
import { timestamp } from '../objects/time.ts';
import type { ContainerStatus } from '../runtime/runtime.ts';
import type { Assessment, Facts } from './assess.ts';
import { backoffDelay, crashes } from './backoff.ts';
import type { ContainerState, PodView } from './pod-view.ts';

type State = NonNullable<ContainerState['state']>;
type Terminated = NonNullable<State['terminated']>;

/** What containerID and imageID begin with: `podwire://<id>`. */
export const ID_SCHEME = 'podwire://';

export function containerState(view: PodView, assessment: Assessment, facts: Facts): ContainerState {
  const { container, role, last } = facts;
  const state = stateOf(view, assessment, facts);
  const before = state.waiting && last?.state === 'exited' ? last : facts.previous;
  const started = state.running !== undefined && role !== 'init' && isStarted(facts);
  return {
    name: container.name,
    image: facts.memory.image ?? container.image ?? '',
    imageID: last?.imageRef ?? '',
    ...(last && { containerID: `${ID_SCHEME}${last.id}` }),
    restartCount: last?.attempt ?? 0,
    ready: isReady(facts, state),
    started: role === 'init' && state.running ? true : started,
    state,
    lastState: before ? { terminated: terminated(before) } : {},
  };
}

export function isReady({ role, stand, memory, last }: Facts, state: State): boolean {
  if (role === 'init') return stand.is === 'over' && stand.ok;
  return state.running !== undefined && memory.health?.containerId === last?.id && (memory.health?.ready ?? false);
}

function isStarted({ memory, last }: Facts): boolean {
  return memory.health?.containerId === last?.id && (memory.health?.started ?? false);
}

function stateOf(view: PodView, assessment: Assessment, facts: Facts): State {
  const { last, stand, memory } = facts;
  if (last?.state === 'running') {
    const hooked = memory.health?.containerId === last.id && memory.health.postStart === 'running';
    return hooked ? { waiting: { reason: 'ContainerCreating' } } : { running: { startedAt: timeOf(last.startedAt) } };
  }
  if (last && (stand.is === 'over' || assessment.ending)) return { terminated: terminated(last) };
  return { waiting: waiting(view, assessment, facts) };
}

function waiting(view: PodView, assessment: Assessment, facts: Facts): NonNullable<State['waiting']> {
  const { container, last, memory, stand, role } = facts;
  const { problem } = memory;
  if (problem) return { reason: problem.reason, message: problem.message };
  if (last && (stand.is === 'held' || memory.starting || stand.is === 'due')) {
    const delay = backoffDelay(crashes(memory.crashes, last));
    if (delay > 0 && stand.is === 'held') {
      const { namespace, name, uid } = view.pod.metadata;
      const message = `back-off ${duration(delay)} restarting failed container=${container.name} pod=${name}_${namespace}(${uid})`;
      return { reason: 'CrashLoopBackOff', message };
    }
    if (last.reason === 'StartError') return { reason: 'RunContainerError', message: last.message ?? '' };
  }
  const initializing = (view.pod.spec.initContainers ?? []).length > 0 && !assessment.initialized;
  return {
    reason: initializing && (role === 'app' || stand.is === 'waiting') ? 'PodInitializing' : 'ContainerCreating',
  };
}

/** As Go prints a duration: 10s, 1m20s, 5m0s. */
export function duration(ms: number): string {
  const total = Math.round(ms / 1000);
  return total < 60 ? `${total}s` : `${Math.floor(total / 60)}m${total % 60}s`;
}

export function terminated(record: ContainerStatus): Terminated {
  const exitCode = record.exitCode ?? 0;
  return {
    exitCode,
    reason: record.reason ?? (exitCode === 0 ? 'Completed' : 'Error'),
    ...(record.message && { message: record.message }),
    startedAt: timeOf(record.startedAt),
    finishedAt: timeOf(record.finishedAt ?? record.startedAt),
    containerID: `${ID_SCHEME}${record.id}`,
  };
}

function timeOf(time: string): string {
  return timestamp(Date.parse(time));
}
