// Room dns: what the server counts under CoreDNS's names, so that dashboards and alerts made for CoreDNS fit.
import { type Metric, Registry } from 'prom-client';
import type { Forwarder } from './forward.ts';
import type { ResponseCache } from './response-cache.ts';
import type { DnsStats, Histogram, Tally } from './stats.ts';

export interface MetricSources {
  readonly stats: DnsStats;
  readonly cache: ResponseCache;
  readonly forwarders: readonly Forwarder[];
  readonly hostEntries: number;
  readonly version: string;
}

type Labels = Readonly<Record<string, string>>;
interface Sample {
  readonly value: number;
  readonly labels: Labels;
  readonly metricName?: string;
}

/** CoreDNS's labels for where a question was asked: it has one server block here. */
const SERVER: Labels = { server: 'dns://:53', zone: '.', view: '' };
const CACHE: Labels = { server: 'dns://:53', zones: '.', view: '' };

/** Prometheus's text. The counts are read when it is asked for. */
export function metricsText(sources: MetricSources): Promise<string> {
  const registry = new Registry();
  const add = (type: 'counter' | 'gauge' | 'histogram', name: string, help: string, values: readonly Sample[]) => {
    const full = `coredns_${name}`;
    const metric = { name: full, help, type, aggregator: 'sum', get: async () => ({ name: full, help, type, values }) };
    registry.registerMetric(metric as unknown as Metric);
  };
  const { stats } = sources;
  add('gauge', 'build_info', 'What runs here.', [
    { value: 1, labels: { version: sources.version, revision: 'podwire', goversion: process.version } },
  ]);
  add('counter', 'dns_requests_total', 'Questions by protocol, family and type.', requests(stats.tallies));
  add('counter', 'dns_responses_total', 'Answers by code.', responses(stats.tallies));
  add('counter', 'dns_dropped_total', 'Packets that deserved no answer.', [{ value: stats.droppedCount, labels: {} }]);
  const histogram = (name: string, help: string, counted: Histogram) =>
    add('histogram', name, help, buckets(`coredns_${name}`, counted));
  histogram('dns_request_duration_seconds', 'Seconds from a question to its answer.', stats.latency);
  histogram('dns_request_size_bytes', 'Sizes of questions.', stats.requestSizes);
  histogram('dns_response_size_bytes', 'Sizes of answers.', stats.responseSizes);
  cacheMetrics(add, sources);
  upstreamMetrics(add, sources);
  add('gauge', 'hosts_entries', 'Static hosts.', [{ value: sources.hostEntries, labels: {} }]);
  return registry.metrics();
}

type Add = (type: 'counter' | 'gauge', name: string, help: string, values: readonly Sample[]) => void;

function cacheMetrics(add: Add, { cache, forwarders }: MetricSources): void {
  const { success, denial } = cache.sizes;
  const of = (pick: (forwarder: Forwarder) => number) => forwarders.reduce((sum, each) => sum + pick(each), 0);
  const typed = (type: string, value: number): Sample => ({ value, labels: { ...CACHE, type } });
  const plain = (value: number): Sample[] => [{ value, labels: CACHE }];
  add('gauge', 'cache_entries', 'Answers from outside that are kept.', [
    typed('success', success),
    typed('denial', denial),
  ]);
  add('counter', 'cache_hits_total', 'Questions that the cache answered.', [
    typed(
      'success',
      of(({ counts }) => counts.hits.success),
    ),
    typed(
      'denial',
      of(({ counts }) => counts.hits.denial),
    ),
  ]);
  add('counter', 'cache_misses_total', 'Questions that it could not answer.', plain(of(({ counts }) => counts.misses)));
  add(
    'counter',
    'cache_prefetch_total',
    'Answers fetched before their time was over.',
    plain(of(({ counts }) => counts.prefetched)),
  );
  add(
    'counter',
    'cache_served_stale_total',
    'Answers given after their time.',
    plain(of(({ counts }) => counts.servedStale)),
  );
}

function upstreamMetrics(add: Add, { forwarders }: MetricSources): void {
  const all = forwarders.flatMap(({ upstreams }) => upstreams.all);
  const each = (pick: (upstream: (typeof all)[number]) => number): Sample[] =>
    all.map((upstream) => ({ value: pick(upstream), labels: { to: upstream.text } }));
  add(
    'counter',
    'forward_requests_total',
    'Questions to each upstream resolver.',
    each(({ requests }) => requests),
  );
  add(
    'counter',
    'proxy_healthcheck_failures_total',
    'Questions that it did not answer in time.',
    each(({ timeouts }) => timeouts),
  );
  add(
    'gauge',
    'forward_loop',
    'Whether what it is asked comes back to us.',
    each(({ looping }) => Number(looping)),
  );
}

function requests(tallies: Iterable<Tally>): Sample[] {
  return summed(tallies, ({ protocol, type, v4, v6 }) => [
    { value: v4, labels: { ...SERVER, proto: protocol, family: '1', type } },
    { value: v6, labels: { ...SERVER, proto: protocol, family: '2', type } },
  ]);
}

function responses(tallies: Iterable<Tally>): Sample[] {
  return summed(tallies, ({ rcode, v4, v6 }) => [{ value: v4 + v6, labels: { ...SERVER, rcode, plugin: '' } }]);
}

/** Samples of the same labels fall together; none of zero. */
function summed(tallies: Iterable<Tally>, samples: (tally: Tally) => Sample[]): Sample[] {
  const sums = new Map<string, Sample>();
  for (const sample of [...tallies].flatMap(samples)) {
    if (sample.value === 0) continue;
    const key = Object.values(sample.labels).join(' ');
    const before = sums.get(key)?.value ?? 0;
    sums.set(key, { ...sample, value: before + sample.value });
  }
  return [...sums.values()];
}

function buckets(name: string, histogram: Histogram): Sample[] {
  let below = 0;
  const counts = histogram.bounds.map((bound, i): Sample => {
    below += histogram.counts[i]!;
    return { metricName: `${name}_bucket`, value: below, labels: { ...SERVER, le: String(bound) } };
  });
  const { count, sum } = histogram;
  return [
    ...counts,
    { metricName: `${name}_bucket`, value: count, labels: { ...SERVER, le: '+Inf' } },
    { metricName: `${name}_sum`, value: sum, labels: SERVER },
    { metricName: `${name}_count`, value: count, labels: SERVER },
  ];
}
