// Room node: runs of containers that the API knows of and the runtime no longer does, as after a restart of the machine.
import type { Pod } from '../objects/types.ts';
import type { ContainerStatus } from '../runtime/runtime.ts';
import { ID_SCHEME } from './container-state.ts';
import { logPath } from './pod-paths.ts';
import type { ContainerState } from './pod-view.ts';

/** As ended: with the exit code that the API has, or with 137 and the words of the kubelet. They count for restarts. */
export function lostRecords(
  pod: Pod,
  known: readonly ContainerStatus[],
  now = new Date().toISOString(),
): ContainerStatus[] {
  const { initContainerStatuses = [], containerStatuses = [], phase } = pod.status ?? {};
  if (phase === 'Succeeded' || phase === 'Failed') return [];
  return [...initContainerStatuses, ...containerStatuses].flatMap((status) => {
    if (known.some(({ name }) => name === status.name)) return [];
    const record = lost(pod, status, now);
    return record ? [record] : [];
  });
}

function lost(pod: Pod, status: ContainerState, now: string): ContainerStatus | undefined {
  const ended = status.state?.terminated ?? status.lastState?.terminated;
  const startedAt = status.state?.running?.startedAt ?? ended?.startedAt;
  if (!status.containerID || !startedAt) return undefined;
  const end = status.state?.running ? undefined : ended;
  return {
    id: status.containerID.slice(ID_SCHEME.length),
    sandboxId: 'lost',
    name: status.name,
    attempt: status.restartCount,
    state: 'exited',
    startedAt,
    finishedAt: end?.finishedAt ?? now,
    exitCode: end?.exitCode ?? 137,
    reason: end ? ((end.reason as 'Completed' | 'Error' | undefined) ?? 'Error') : 'Error',
    message: end?.message ?? 'The container could not be located when the pod was terminated',
    imageRef: status.imageID,
    logPath: logPath('/', pod, status.name, status.restartCount),
  };
}
