// Room node: the probes of one running container, from its start to its end.
import type { Container } from '../pod-view.ts';
import { type Handler, type ProbeTarget, probe } from './probe.ts';
import { nextTry, type ProbeKind, type ProbeSpec, type ProbeState, stepProbe, UNPROBED } from './probe-state.ts';

export interface Verdicts {
  /** The startup probe has succeeded, or there is none. */
  readonly started: boolean;
  readonly ready: boolean;
  /** Which probe wants the container dead, and why. */
  readonly failed?: string;
  readonly graceSeconds?: number;
}

export interface ProberOptions {
  readonly target: ProbeTarget;
  /** ms since the epoch. */
  readonly startedAt: number;
  /** What was known before a restart of the agent: a ready container stays ready until a probe says otherwise. */
  readonly before?: { readonly started: boolean; readonly ready: boolean };
  readonly onVerdict: (verdicts: Verdicts) => void;
  readonly onFailure: (kind: ProbeKind, output: string) => void;
}

export function needsProbing(container: Container): boolean {
  return Boolean(container.startupProbe || container.livenessProbe || container.readinessProbe);
}

/** Startup first, alone; then liveness and readiness side by side. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #timers = new Map<ProbeKind, NodeJS.Timeout>();
  #verdicts: Verdicts;
  #stopped = false;

  constructor(options: ProberOptions) {
    const { startupProbe, readinessProbe } = options.target.container;
    this.#options = options;
    const started = options.before?.started || !startupProbe;
    this.#verdicts = { started, ready: started && (!readinessProbe || (options.before?.ready ?? false)) };
  }

  get verdicts(): Verdicts {
    return this.#verdicts;
  }

  start(): void {
    const { startupProbe } = this.#options.target.container;
    if (startupProbe && !this.#verdicts.started) this.#begin('startup', startupProbe);
    else this.#beginOthers();
  }

  /** On the way out only readiness is still asked: endpoints that terminate may serve as long as they are ready. */
  stopAllButReadiness(): void {
    for (const kind of ['startup', 'liveness'] as const) {
      clearTimeout(this.#timers.get(kind));
      this.#timers.delete(kind);
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #beginOthers(): void {
    const { livenessProbe, readinessProbe } = this.#options.target.container;
    if (livenessProbe) this.#begin('liveness', livenessProbe);
    if (readinessProbe) this.#begin('readiness', readinessProbe);
  }

  #begin(kind: ProbeKind, spec: ProbeSpec): void {
    const due = this.#options.startedAt + 1000 * (spec.initialDelaySeconds ?? 0) - Date.now();
    this.#schedule(kind, spec, UNPROBED, 1, true, Math.max(due, 0));
  }

  #schedule(kind: ProbeKind, spec: ProbeSpec, state: ProbeState, tries: number, counts: boolean, inMs: number): void {
    const timer = setTimeout(() => void this.#try(kind, spec, state, tries, counts), inMs);
    this.#timers.set(kind, timer);
  }

  async #try(kind: ProbeKind, spec: ProbeSpec, state: ProbeState, tries: number, counts: boolean): Promise<void> {
    const timer = this.#timers.get(kind);
    const result = await probe(spec as Handler, this.#options.target, 1000 * (spec.timeoutSeconds || 1));
    if (this.#stopped || this.#timers.get(kind) !== timer) return;
    // The first failure of a container that is only just starting says nothing yet.
    const early = tries > 1 ? !counts : spec.initialDelaySeconds === undefined || spec.initialDelaySeconds === 0;
    if (!result.ok && !early) this.#options.onFailure(kind, result.output);
    const after = result.ok || !early ? stepProbe(state, result.ok, spec) : state;
    if (after.verdict !== state.verdict) this.#judge(kind, spec, after, result.output);
    if (kind === 'startup' && after.verdict !== 'unknown') {
      this.#timers.delete(kind);
      if (after.verdict === 'success') this.#beginOthers();
      return;
    }
    if (kind === 'liveness' && after.verdict === 'failure') return;
    const next = nextTry(spec, after, tries);
    this.#schedule(kind, spec, after, tries + 1, next.counts, next.inMs);
  }

  #judge(kind: ProbeKind, spec: ProbeSpec, { verdict }: ProbeState, output: string): void {
    const ok = verdict === 'success';
    const before = this.#verdicts;
    if (kind === 'readiness') this.#verdicts = { ...before, ready: ok };
    else if (!ok) {
      const grace = spec.terminationGracePeriodSeconds;
      this.#verdicts = {
        ...before,
        failed: `failed ${kind} probe: ${output}`,
        ...(grace != null && { graceSeconds: grace }),
      };
    } else if (kind === 'startup') {
      const ready = !this.#options.target.container.readinessProbe;
      this.#verdicts = { ...before, started: true, ready };
    }
    this.#options.onVerdict(this.#verdicts);
  }
}
