// Room node: the container, and the log of it, that a request means.
import { failure } from '../../objects/status.ts';
import type { ContainerStatus } from '../../runtime/runtime.ts';
import { logPath } from '../pod-paths.ts';
import type { PodView } from '../pod-view.ts';

/** The run that is the newest, or undefined. */
function runs(view: PodView, name: string): ContainerStatus[] {
  return view.records.filter((record) => record.name === name).toSorted((a, b) => b.attempt - a.attempt);
}

export interface LogFile {
  readonly path: string;
  /** Of the run, where it may still go on. */
  readonly containerId?: string;
}

/** Throws a StatusError in the kubelet's words when there is no such log. */
export function findLog(view: PodView, name: string, previous: boolean, stateDir: string): LogFile {
  const pod = view.pod.metadata.name;
  const [last, before] = runs(view, name);
  const run = previous && last ? before : last;
  if (run) return { path: run.logPath, containerId: run.id };
  // Ended before this agent began: the API knows how often it ran.
  const { containerStatuses = [], initContainerStatuses = [] } = view.base;
  const status = [...containerStatuses, ...initContainerStatuses].find((candidate) => candidate.name === name);
  const attempt = (status?.restartCount ?? 0) - (previous ? 1 : 0);
  if (!last && status?.containerID && attempt >= 0) return { path: logPath(stateDir, view.pod, name, attempt) };
  if (previous) throw failure(400, 'BadRequest', `previous terminated container "${name}" in pod "${pod}" not found`);
  const reason = status?.state?.waiting?.reason ?? 'ContainerCreating';
  throw failure(400, 'BadRequest', `container "${name}" in pod "${pod}" is waiting to start: ${reason}`);
}

export function findRunning(view: PodView, name: string): ContainerStatus {
  const [last] = runs(view, name);
  if (last?.state === 'running') return last;
  throw failure(404, 'NotFound', `container not found ("${name}")`);
}
