// Room node: from single probe results to a verdict, by the thresholds of the manifest; pure.
import type { Container } from '../pod-view.ts';

export type ProbeSpec = NonNullable<Container['livenessProbe']>;
export type ProbeKind = 'startup' | 'liveness' | 'readiness';

/** How often in a row the last result came, and the verdict so far. */
export interface ProbeState {
  readonly last?: boolean;
  readonly run: number;
  readonly verdict: 'unknown' | 'success' | 'failure';
}

export const UNPROBED: ProbeState = { run: 0, verdict: 'unknown' };

export function stepProbe(state: ProbeState, ok: boolean, spec: ProbeSpec): ProbeState {
  const run = state.last === ok ? state.run + 1 : 1;
  const threshold = ok ? (spec.successThreshold ?? 1) : (spec.failureThreshold ?? 3);
  const verdict = run >= threshold ? (ok ? 'success' : 'failure') : state.verdict;
  return { last: ok, run, verdict };
}

const SOON_MS = 25;
const SOON_EXEC_MS = 250;

/**
 * Milliseconds until the next try. A container that has not been found good yet is asked more often in its first
 * period (25 ms, 50 ms, 100 ms …), so that it is in use as soon as it can be; such early failures do not count.
 */
export function nextTry(spec: ProbeSpec, state: ProbeState, tries: number): { inMs: number; counts: boolean } {
  const period = 1000 * (spec.periodSeconds || 10);
  if (state.verdict !== 'unknown') return { inMs: period, counts: true };
  const first = spec.exec ? SOON_EXEC_MS : SOON_MS;
  const elapsed = first * (2 ** (tries - 1) - 1);
  const inMs = first * 2 ** (tries - 1);
  return elapsed + inMs < period ? { inMs, counts: false } : { inMs: period, counts: true };
}
