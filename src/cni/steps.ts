// Room cni: how long each step of a call took, so that a slow one says itself what it waited for.

/** Milliseconds by step, in the order of their first beginning. */
export type Took = Readonly<Record<string, number>>;

/** Of one call. */
export class Steps {
  readonly #took = new Map<string, number>();

  /** Steps do not contain each other: what is measured twice is counted twice. */
  measure<T>(step: string, work: () => T): T {
    const begun = performance.now();
    try {
      return work();
    } finally {
      this.add(step, performance.now() - begun);
    }
  }

  add(step: string, ms: number): void {
    this.#took.set(step, (this.#took.get(step) ?? 0) + ms);
  }

  get took(): Took {
    return Object.fromEntries([...this.#took].map(([step, ms]) => [step, Math.round(ms * 100) / 100]));
  }
}

/** `3.1 ms: ipam 0.2, interface 1.9, rules 1` */
export function tookText(took: Took): string {
  const all = Object.values(took).reduce((sum, ms) => sum + ms, 0);
  const steps = Object.entries(took).map(([step, ms]) => `${step} ${ms.toFixed(1)}`);
  return `${all.toFixed(1)} ms: ${steps.join(', ')}`;
}
