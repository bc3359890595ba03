// Room node: a pod's status as Kubernetes states it: a pure function of what is wanted and what is there.
import { timestamp } from '../objects/time.ts';
import { type Assessment, assess, type Facts } from './assess.ts';
import { containerState } from './container-state.ts';
import type { ContainerState, PodCondition, PodStatus, PodView } from './pod-view.ts';

type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/** The whole status; fields of others (qosClass, foreign conditions) are as in `view.base`. */
export function podStatus(view: PodView): PodStatus {
  const assessment = assess(view);
  const { base, pod, hostIPs, sandbox, refusal } = view;
  if (assessment.ending?.why === 'terminal' || assessment.ending?.why === 'gone') return base;
  if (assessment.ending?.why === 'refused' && refusal) {
    const startTime = base.startTime ?? timestamp(view.now);
    return {
      ...base,
      phase: 'Failed',
      reason: refusal.reason,
      message: `Pod was rejected: ${refusal.message}`,
      startTime,
    };
  }
  const inits = assessment.inits.map((facts) => containerState(view, assessment, facts));
  const apps = assessment.apps.map((facts) => containerState(view, assessment, facts));
  const phase = phaseOf(assessment, apps);
  const deadline = assessment.ending?.why === 'deadline' && assessment.over;
  const podIPs = pod.spec.hostNetwork ? hostIPs : (sandbox?.podIPs ?? base.podIPs?.map(({ ip }) => ip ?? '') ?? []);
  return {
    ...base,
    phase,
    ...(deadline && {
      reason: 'DeadlineExceeded',
      message: 'Pod was active on the node longer than the specified deadline',
    }),
    conditions: conditions(view, assessment, phase, inits, apps),
    hostIP: hostIPs[0] ?? '',
    hostIPs: hostIPs.map((ip) => ({ ip })),
    ...(podIPs.length > 0 && { podIP: podIPs[0]!, podIPs: podIPs.map((ip) => ({ ip })) }),
    startTime: base.startTime ?? timestamp(view.now),
    ...(inits.length > 0 && { initContainerStatuses: inits }),
    containerStatuses: apps,
  };
}

function phaseOf({ inits, apps, ending, over, initialized }: Assessment, states: readonly ContainerState[]): Phase {
  if (over) {
    if (ending?.why === 'deadline') return 'Failed';
    const ok = apps.every(({ last }) => last?.state === 'exited' && last.exitCode === 0);
    return ok && !inits.some(hasFailed) ? 'Succeeded' : 'Failed';
  }
  if (!initialized) return 'Pending';
  const neverRan = states.some(({ state, lastState }) => state?.waiting && !lastState?.terminated);
  return neverRan ? 'Pending' : 'Running';
}

function hasFailed({ role, stand }: Facts): boolean {
  return role === 'init' && stand.is === 'over' && !stand.ok;
}

type Verdict = readonly [ok: boolean, reason?: string, message?: string];

function conditions(
  view: PodView,
  assessment: Assessment,
  phase: Phase,
  inits: readonly ContainerState[],
  apps: readonly ContainerState[],
): PodCondition[] {
  const containersReady = readiness(assessment, phase, inits, apps);
  const verdicts: Record<string, Verdict> = {
    PodReadyToStartContainers: [view.sandbox !== undefined && !assessment.over],
    Initialized: initialized(assessment, phase, inits),
    Ready: containersReady[0] ? gates(view) : containersReady,
    ContainersReady: containersReady,
    PodScheduled: [true],
  };
  const old = new Map((view.base.conditions ?? []).map((condition) => [condition.type, condition]));
  const ours = Object.entries(verdicts).map(([type, verdict]) => condition(type, verdict, old.get(type), view.now));
  return [...ours, ...[...old.values()].filter(({ type }) => !(type in verdicts))];
}

function condition(type: string, verdict: Verdict, old: PodCondition | undefined, now: number): PodCondition {
  const [ok, reason, message] = verdict;
  const status = ok ? 'True' : 'False';
  const since = old?.status === status ? old.lastTransitionTime : undefined;
  return {
    type,
    status,
    lastProbeTime: null as unknown as string,
    lastTransitionTime: since ?? timestamp(now),
    ...(reason && { reason }),
    ...(message && { message }),
  };
}

function initialized(
  { initialized: done, inits }: Assessment,
  phase: Phase,
  states: readonly ContainerState[],
): Verdict {
  if (phase === 'Succeeded') return [true, 'PodCompleted'];
  if (done) return [true];
  const names = inits.flatMap(({ role }, i) => {
    const state = states[i]!;
    return (role === 'sidecar' ? state.started : state.ready) ? [] : [state.name];
  });
  return [false, 'ContainersNotInitialized', `containers with incomplete status: [${names.join(' ')}]`];
}

function readiness(
  { inits }: Assessment,
  phase: Phase,
  initStates: readonly ContainerState[],
  apps: readonly ContainerState[],
): Verdict {
  if (phase === 'Succeeded') return [false, 'PodCompleted'];
  if (phase === 'Failed') return [false, 'PodFailed'];
  const counted = [...initStates.filter((_, i) => inits[i]!.role === 'sidecar'), ...apps];
  const names = counted.filter(({ ready }) => !ready).map(({ name }) => name);
  if (names.length === 0) return [true];
  return [false, 'ContainersNotReady', `containers with unready status: [${names.join(' ')}]`];
}

function gates({ pod, base }: PodView): Verdict {
  const wrong = (pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const found = base.conditions?.find(({ type }) => type === conditionType);
    if (found?.status === 'True') return [];
    const what = found
      ? `status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`
      : undefined;
    return [what ?? `corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
  });
  return wrong.length === 0 ? [true] : [false, 'ReadinessGatesNotReady', wrong.join(', ')];
}

/** What a strategic merge patch must carry to turn `from` into `to`; undefined when they say the same. */
export function statusChange(from: PodStatus, to: PodStatus): Record<string, unknown> | undefined {
  const change: Record<string, unknown> = {};
  for (const key of Object.keys(to) as (keyof PodStatus)[]) {
    if (key !== 'conditions' && !same(from[key], to[key])) change[key] = to[key];
  }
  const changed = (to.conditions ?? []).filter(
    (wanted) =>
      !same(
        from.conditions?.find(({ type }) => type === wanted.type),
        wanted,
      ),
  );
  if (changed.length > 0) {
    // A merge keeps what is not named: a reason that is gone must be said to be.
    change['conditions'] = changed.map((c) => ({ ...c, reason: c.reason ?? null, message: c.message ?? null }));
  }
  return Object.keys(change).length > 0 ? change : undefined;
}

/** Deep equality of JSON where null, '' and absent are one, and the order of keys does not count. */
export function same(a: unknown, b: unknown): boolean {
  if (isNothing(a) || isNothing(b)) return isNothing(a) && isNothing(b);
  if (typeof a !== 'object' || typeof b !== 'object') return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (Array.isArray(a) && a.length !== (b as unknown[]).length) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].every((key) => same(left[key], right[key]));
}

function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  return typeof value === 'object' && Object.values(value as object).every(isNothing);
}
