// Room node: the next steps of one pod, as a pure function of what is wanted and what is there.
import { type Assessment, assess, deadlineOf, type Ending, type Facts } from './assess.ts';
import type { Chore, PodView, Step } from './pod-view.ts';

export interface Decision {
  readonly steps: readonly Step[];
  /** When to look again though nothing has changed (ms since the epoch). */
  readonly wakeAt?: number;
}

/** After SIGTERM a container has at least this long, even when its preStop hook used up the grace period. */
const LAST_WORD_MS = 2000;
/** SIGKILL is repeated until the end has been seen. */
const KILL_AGAIN_MS = 5000;
const NEVER = Number.POSITIVE_INFINITY;

export function decide(view: PodView): Decision {
  const assessment = assess(view);
  const agenda = new Agenda(view);
  if (assessment.ending) end(assessment, assessment.ending, agenda);
  else run(assessment, agenda);
  const { steps, wakeAt } = agenda;
  return wakeAt === NEVER ? { steps } : { steps, wakeAt };
}

class Agenda {
  readonly view: PodView;
  readonly steps: Step[] = [];
  wakeAt = NEVER;

  constructor(view: PodView) {
    this.view = view;
  }

  wake(at: number): void {
    this.wakeAt = Math.min(this.wakeAt, at);
  }

  /** Plans the chore unless it is done, under way, or to be tried again only later. Says whether it is done. */
  chore(chore: Chore): boolean {
    const state = this.view.chores.get(chore);
    if (state?.state === 'done') return true;
    if (state?.state === 'running') return false;
    if (state && state.retryAt > this.view.now) this.wake(state.retryAt);
    else this.steps.push({ do: chore });
    return false;
  }
}

function run(assessment: Assessment, agenda: Agenda): void {
  const { pod, base } = agenda.view;
  const ready = [agenda.chore('sandbox'), agenda.chore('volumes')].every(Boolean);
  const all = [...assessment.inits, ...assessment.apps];
  for (const facts of all) {
    prune(facts, agenda);
    if (facts.stand.is === 'held') agenda.wake(facts.stand.at);
    if (facts.stand.is === 'running' && (facts.memory.stopping || unwell(facts))) stopUnwell(facts, agenda);
  }
  const deadline = deadlineOf(pod.spec.activeDeadlineSeconds, base.startTime);
  if (deadline !== undefined) agenda.wake(deadline);
  // One at a time and in order, each with its postStart hook: a container may count on the one before it.
  const next = all.find((facts) => facts.stand.is === 'due');
  if (!ready || !next || all.some(isBeingMade)) return;
  agenda.steps.push({
    do: 'start',
    container: next.container,
    role: next.role,
    attempt: (next.last?.attempt ?? -1) + 1,
  });
}

function isBeingMade({ memory, last, stand }: Facts): boolean {
  if (memory.starting) return true;
  return stand.is === 'running' && memory.health?.containerId === last?.id && memory.health?.postStart === 'running';
}

/** Why the container is to be stopped and started again. */
function unwell({ memory, last, container }: Facts): string | undefined {
  if (memory.health?.containerId === last?.id && memory.health?.failed) return memory.health.failed;
  const changed = memory.image !== undefined && memory.image !== container.image;
  return changed ? 'definition changed' : undefined;
}

function stopUnwell(facts: Facts, agenda: Agenda): void {
  const grace = facts.memory.health?.graceSeconds ?? agenda.view.pod.spec.terminationGracePeriodSeconds ?? 30;
  stop(facts, 1000 * grace, unwell(facts) ?? '', agenda);
}

/** The last run and the one before it are kept (`kubectl logs --previous`). */
function prune({ container }: Facts, agenda: Agenda): void {
  const old = agenda.view.records.filter((record) => record.name === container.name);
  if (old.length <= 2) return;
  const doomed = old.toSorted((a, b) => b.attempt - a.attempt).slice(2);
  for (const record of doomed) agenda.steps.push({ do: 'prune', id: record.id });
}

function end({ inits, apps, over }: Assessment, ending: Ending, agenda: Agenda): void {
  const { view } = agenda;
  const graceMs = 'graceMs' in ending ? ending.graceMs : 0;
  if (!over && ending.why !== 'gone') {
    stopInOrder(inits, apps, graceMs, agenda);
    return;
  }
  const beingMade = [...inits, ...apps].some((facts) => facts.memory.starting);
  if (beingMade || view.chores.get('sandbox')?.state === 'running') return;
  // What the API has not heard of yet would be lost with the records.
  if (ending.why !== 'gone' && !view.statusWritten) return;
  if (agenda.chore('teardown') && ending.why !== 'gone' && view.pod.metadata.deletionTimestamp) agenda.chore('delete');
}

/** App and init containers at once; sidecars only then, last one first. */
function stopInOrder(inits: readonly Facts[], apps: readonly Facts[], graceMs: number, agenda: Agenda): void {
  const running = (facts: Facts) => facts.stand.is === 'running';
  const mains = [...apps, ...inits.filter(({ role }) => role === 'init')].filter(running);
  for (const facts of mains) stop(facts, graceMs, '', agenda);
  const sidecar = inits.findLast((facts) => facts.role === 'sidecar' && running(facts));
  if (mains.length === 0 && sidecar) stop(sidecar, graceMs, '', agenda);
}

function stop(facts: Facts, graceMs: number, why: string, agenda: Agenda): void {
  const { container, memory, last } = facts;
  const { now } = agenda.view;
  const stopping = memory.stopping;
  if (!stopping) {
    agenda.steps.push({ do: 'stop', container, id: last!.id, graceMs, why });
    return;
  }
  const signal = (name: NodeJS.Signals) =>
    agenda.steps.push({ do: 'signal', name: container.name, id: last!.id, signal: name });
  // A second `kubectl delete` may shorten the grace, never lengthen it.
  const deadline = stopping.since + Math.min(stopping.graceMs, graceMs);
  if (stopping.termAt === undefined) {
    if (deadline <= stopping.since) kill(stopping.killAt, signal, agenda);
    else if (stopping.hook === 'done' || now >= deadline) signal(stopSignal(facts));
    else agenda.wake(deadline);
    return;
  }
  const killAt = Math.min(Math.max(deadline, stopping.termAt + LAST_WORD_MS), stopping.termAt + graceMs);
  if (now >= killAt) kill(stopping.killAt, signal, agenda);
  else agenda.wake(killAt);
}

function kill(killedAt: number | undefined, signal: (name: NodeJS.Signals) => void, agenda: Agenda): void {
  const { now } = agenda.view;
  if (killedAt === undefined || now >= killedAt + KILL_AGAIN_MS) {
    signal('SIGKILL');
    agenda.wake(now + KILL_AGAIN_MS);
  } else agenda.wake(killedAt + KILL_AGAIN_MS);
}

function stopSignal({ container }: Facts): NodeJS.Signals {
  const lifecycle = container.lifecycle as { stopSignal?: NodeJS.Signals } | undefined;
  return lifecycle?.stopSignal ?? 'SIGTERM';
}
