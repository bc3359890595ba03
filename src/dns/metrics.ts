// Room dns: what the server counts under CoreDNS's names, so that dashboards and alerts made for CoreDNS fit.
import { type Metric, Registry } from 'prom-client';
import type { Forwarder } from './forward.ts';
import type { ResponseCache } from './response-cache.ts';
import type { ServerSettings } from './settings.ts';
import type { DnsStats, Histogram, Tally } from './stats.ts';

export interface MetricSources {
  readonly stats: DnsStats;
  readonly cache: ResponseCache;
  readonly forwarders: readonly Forwarder[];
  readonly settings: ServerSettings;
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
const PROXY: Labels = { proxy_name: 'forward' };
const CACHE: Labels = { server: 'dns://:53', zones: '.', view: '' };

/** Prometheus's text. The counts are read when it is asked for. */
export function metricsText(sources: MetricSources): Promise<string> {
  const registry = new Registry();
  const add = (type: 'counter' | 'gauge' | 'histogram', name: string, help: string, values: readonly Sample[]) => {
    const full = `coredns_${name}`;
    const metric = { name: full, help, type, aggregator: 'sum', get: async () => ({ name: full, help, type, values }) };
    registry.registerMetric(metric as unknown as Metric);
  };
  const { stats, settings } = sources;
  add('gauge', 'build_info', 'What runs here.', [
    { value: 1, labels: { version: sources.version, revision: 'podwire', goversion: process.version } },
  ]);
  add('gauge', 'plugin_enabled', 'What the server does, by the names of CoreDNS.', enabled(sources));
  serverMetrics(add, stats);
  cacheMetrics(add, sources);
  upstreamMetrics(add, sources);
  const hostEntries = Object.keys(settings.hosts).length;
  add('gauge', 'hosts_entries', 'Static hosts.', [{ value: hostEntries, labels: {} }]);
  add('counter', 'autopath_success_total', 'Search lists that were walked to an answer.', [
    { value: stats.autopaths, labels: { server: SERVER['server']! } },
  ]);
  add(
    'histogram',
    'kubernetes_dns_programming_duration_seconds',
    "Seconds from a change of a headless Service's endpoints to its names.",
    buckets('coredns_kubernetes_dns_programming_duration_seconds', [
      [{ service_kind: 'headless_with_selector' }, stats.programming],
    ]),
  );
  return registry.metrics();
}

/** Of CoreDNS's plugins those whose part is played here, as the config has it. */
function enabled({ settings, forwarders }: MetricSources): Sample[] {
  const { hosts, rewrites, autopath, queryLog, cache } = settings;
  const parts: [name: string, is: boolean][] = [
    ['autopath', autopath],
    ['cache', cache.size > 0],
    ['errors', true],
    ['forward', forwarders.some(({ upstreams }) => !upstreams.isEmpty)],
    ['hosts', Object.keys(hosts).length > 0],
    ['kubernetes', true],
    ['log', queryLog],
    ['loop', true],
    ['prometheus', true],
    ['rewrite', Object.keys(rewrites).length > 0],
  ];
  return parts.filter(([, is]) => is).map(([name]) => ({ value: 1, labels: { ...SERVER, name } }));
}

function serverMetrics(add: Add, stats: DnsStats): void {
  const plain = (value: number): Sample[] => [{ value, labels: {} }];
  add('counter', 'dns_requests_total', 'Questions by protocol, family and type.', requests(stats.tallies));
  add('counter', 'dns_do_requests_total', 'Questions of who wants DNSSEC records.', dnssecRequests(stats.tallies));
  add('counter', 'dns_responses_total', 'Answers by code, and by who gave them.', responses(stats.tallies));
  add('counter', 'dns_dropped_total', 'Packets that deserved no answer.', plain(stats.droppedCount));
  add('counter', 'panics_total', 'Questions over which the server stumbled.', plain(stats.panics));
  const histogram = (name: string, help: string, counted: readonly (readonly [Labels, Histogram])[]) =>
    add('histogram', name, help, buckets(`coredns_${name}`, counted));
  histogram('dns_request_duration_seconds', 'Seconds from a question to its answer.', [[SERVER, stats.latency]]);
  const byProtocol = ({ udp, tcp }: DnsStats['requestSizes']) =>
    [
      [{ ...SERVER, proto: 'udp' }, udp],
      [{ ...SERVER, proto: 'tcp' }, tcp],
    ] as const;
  histogram('dns_request_size_bytes', 'Sizes of questions.', byProtocol(stats.requestSizes));
  histogram('dns_response_size_bytes', 'Sizes of answers.', byProtocol(stats.responseSizes));
}

type Add = (type: 'counter' | 'gauge' | 'histogram', name: string, help: string, values: readonly Sample[]) => void;

function cacheMetrics(add: Add, { cache, forwarders }: MetricSources): void {
  const of = (pick: (forwarder: Forwarder) => number) => forwarders.reduce((sum, each) => sum + pick(each), 0);
  const typed = (type: string, value: number): Sample => ({ value, labels: { ...CACHE, type } });
  const plain = (value: number): Sample[] => [{ value, labels: CACHE }];
  const hits = {
    success: of(({ counts }) => counts.hits.success.count),
    denial: of(({ counts }) => counts.hits.denial.count),
  };
  const misses = of(({ counts }) => counts.misses);
  const both = ({ success: yes, denial: no }: { success: number; denial: number }) => [
    typed('success', yes),
    typed('denial', no),
  ];
  add('gauge', 'cache_entries', 'Answers from outside that are kept.', both(cache.sizes));
  add('counter', 'cache_requests_total', 'Questions to the cache.', plain(hits.success + hits.denial + misses));
  add('counter', 'cache_hits_total', 'Questions that the cache answered.', both(hits));
  add('counter', 'cache_misses_total', 'Questions that it could not answer.', plain(misses));
  add('counter', 'cache_evictions_total', 'Answers that had to make room.', both(cache.evictions));
  const prefetched = of(({ counts }) => counts.prefetched);
  add('counter', 'cache_prefetch_total', 'Answers fetched before their time was over.', plain(prefetched));
  const stale = of(({ counts }) => counts.servedStale);
  add('counter', 'cache_served_stale_total', 'Answers given after their time.', plain(stale));
}

function upstreamMetrics(add: Add, { forwarders }: MetricSources): void {
  const all = forwarders.flatMap(({ upstreams }) => upstreams.all);
  const each = (pick: (upstream: (typeof all)[number]) => number): Sample[] =>
    all.map((upstream) => ({ value: pick(upstream), labels: { to: upstream.text } }));
  const of = (pick: (forwarder: Forwarder) => number): Sample[] => [
    { value: forwarders.reduce((sum, each) => sum + pick(each), 0), labels: {} },
  ];
  const asked = each(({ requests }) => requests);
  add('counter', 'forward_requests_total', 'Questions to each upstream resolver.', asked);
  const broken = of(({ counts }) => counts.broken);
  add('counter', 'forward_healthcheck_broken_total', 'Questions at a time when no upstream worked.', broken);
  const rejected = of(({ counts }) => counts.rejected);
  add('counter', 'forward_max_concurrent_rejects_total', 'Questions refused as too many waited.', rejected);
  const silent = all.map(({ text, timeouts }) => ({ value: timeouts, labels: { ...PROXY, to: text } }));
  add('counter', 'proxy_healthcheck_failures_total', 'Questions that it did not answer in time.', silent);
  const durations = all.flatMap(({ text, durations: counted }) =>
    Array.from(counted, ([rcode, histogram]) => [{ ...PROXY, to: text, rcode }, histogram] as const),
  );
  const name = 'proxy_request_duration_seconds';
  add('histogram', name, 'Seconds to the answer of each upstream resolver.', buckets(`coredns_${name}`, durations));
  const looping = each((upstream) => Number(upstream.looping));
  add('gauge', 'forward_loop', 'Whether what it is asked comes back to us.', looping);
}

function requests(tallies: Iterable<Tally>): Sample[] {
  return summed(tallies, ({ protocol, type, v4, v6 }) => [
    { value: v4, labels: { ...SERVER, proto: protocol, family: '1', type } },
    { value: v6, labels: { ...SERVER, proto: protocol, family: '2', type } },
  ]);
}

function dnssecRequests(tallies: Iterable<Tally>): Sample[] {
  return summed(tallies, ({ dnssecOk, v4, v6 }) => [{ value: dnssecOk ? v4 + v6 : 0, labels: SERVER }]);
}

function responses(tallies: Iterable<Tally>): Sample[] {
  return summed(tallies, ({ rcode, plugin, v4, v6 }) => [{ value: v4 + v6, labels: { ...SERVER, rcode, plugin } }]);
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

function buckets(name: string, histograms: readonly (readonly [Labels, Histogram])[]): Sample[] {
  return histograms.flatMap(([labels, { bounds, counts, count, sum }]) => {
    let below = 0;
    const values = bounds.map((bound, i): Sample => {
      below += counts[i]!;
      return { metricName: `${name}_bucket`, value: below, labels: { ...labels, le: String(bound) } };
    });
    return [
      ...values,
      { metricName: `${name}_bucket`, value: count, labels: { ...labels, le: '+Inf' } },
      { metricName: `${name}_sum`, value: sum, labels },
      { metricName: `${name}_count`, value: count, labels },
    ];
  });
}
