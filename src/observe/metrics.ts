// Room observe: what was counted, as Prometheus's text. Loaded when somebody asks for it: what counts needs no library.
import { type Metric, Registry } from 'prom-client';
import type { Histogram } from './histogram.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly value: number;
  readonly labels: Labels;
  readonly metricName?: string;
}

type Type = 'counter' | 'gauge' | 'histogram';

/** Metrics whose names begin alike. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #prefix: string;

  constructor(prefix = '') {
    this.#prefix = prefix;
  }

  counter(name: string, help: string, samples: readonly Sample[] | number): void {
    this.#add('counter', name, help, samples);
  }

  gauge(name: string, help: string, samples: readonly Sample[] | number): void {
    this.#add('gauge', name, help, samples);
  }

  /** One for each set of labels. */
  histogram(name: string, help: string, counted: Histogram | readonly (readonly [Labels, Histogram])[]): void {
    const all = 'bounds' in counted ? ([[{}, counted]] as const) : counted;
    const samples = all.flatMap(([labels, histogram]) => buckets(`${this.#prefix}${name}`, labels, histogram));
    this.#add('histogram', name, help, samples);
  }

  #add(type: Type, name: string, help: string, samples: readonly Sample[] | number): void {
    const full = `${this.#prefix}${name}`;
    const values = typeof samples === 'number' ? [{ value: samples, labels: {} }] : samples;
    const metric = { name: full, help, type, aggregator: 'sum', get: async () => ({ name: full, help, type, values }) };
    this.#registry.registerMetric(metric as unknown as Metric);
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function buckets(name: string, labels: Labels, { bounds, counts, sum }: Histogram): Sample[] {
  let below = 0;
  const samples = counts.map((count, i): Sample => {
    below += count;
    const le = bounds[i] === undefined ? '+Inf' : String(bounds[i]);
    return { metricName: `${name}_bucket`, value: below, labels: { ...labels, le } };
  });
  return [
    ...samples,
    { metricName: `${name}_sum`, value: sum, labels },
    { metricName: `${name}_count`, value: below, labels },
  ];
}
