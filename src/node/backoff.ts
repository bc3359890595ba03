// Room node: how long to wait before a container is started again, or a failed try is repeated, as the kubelet does it.
import type { ContainerStatus } from '../runtime/runtime.ts';

const INITIAL = 10_000;
const MAXIMUM = 300_000;
/** A container that ran this long is forgiven its past. */
const FORGIVEN = 600_000;

/** Milliseconds after the n-th failure in a row: 0, 10 s, 20 s, … 5 min. */
export function backoffDelay(failures: number): number {
  return failures <= 0 ? 0 : Math.min(INITIAL * 2 ** (failures - 1), MAXIMUM);
}

/**
 * Restarts in a row that count for the delay of the next one. What was not remembered (the agent is new) is taken from
 * the number of the attempt.
 */
export function crashes(remembered: number | undefined, last: ContainerStatus): number {
  const ran = Date.parse(last.finishedAt ?? last.startedAt) - Date.parse(last.startedAt);
  return ran >= FORGIVEN ? 0 : (remembered ?? last.attempt);
}

/** When the container whose last run is `last` may start again (ms since the epoch). */
export function restartAt(remembered: number | undefined, last: ContainerStatus): number {
  return Date.parse(last.finishedAt ?? last.startedAt) + backoffDelay(crashes(remembered, last));
}
