// Room dns: what the server counts under CoreDNS's names, so that dashboards and alerts made for CoreDNS fit.
import { type Labels, Metrics, type Sample } from '../observe/metrics.ts';
import type { Forwarder } from './forward.ts';
import type { ResponseCache } from './response-cache.ts';
import type { ServerSettings } from './settings.ts';
import type { DnsStats, Tally } from './stats.ts';

export interface MetricSources {
  readonly stats: DnsStats;
  readonly cache: ResponseCache;
  readonly forwarders: readonly Forwarder[];
  readonly settings: ServerSettings;
  readonly version: string;
}

/** CoreDNS's labels for where a question was asked: it has one server block here. */
const SERVER: Labels = { server: 'dns://:53', zone: '.', view: '' };
const PROXY: Labels = { proxy_name: 'forward' };
const CACHE: Labels = { server: 'dns://:53', zones: '.', view: '' };

/** Prometheus's text. The counts are read when it is asked for. */
export function metricsText(sources: MetricSources): Promise<string> {
  const metrics = new Metrics('coredns_');
  const { stats, settings } = sources;
  metrics.gauge('build_info', 'What runs here.', [
    { value: 1, labels: { version: sources.version, revision: 'podwire', goversion: process.version } },
  ]);
  metrics.gauge('plugin_enabled', 'What the server does, by the names of CoreDNS.', enabled(sources));
  serverMetrics(metrics, stats);
  cacheMetrics(metrics, sources);
  upstreamMetrics(metrics, sources);
  const hostEntries = Object.keys(settings.hosts).length;
  metrics.gauge('hosts_entries', 'Static hosts.', hostEntries);
  metrics.counter('autopath_success_total', 'Search lists that were walked to an answer.', [
    { value: stats.autopaths, labels: { server: SERVER['server']! } },
  ]);
  metrics.histogram(
    'kubernetes_dns_programming_duration_seconds',
    "Seconds from a change of a headless Service's endpoints to its names.",
    [[{ service_kind: 'headless_with_selector' }, stats.programming]],
  );
  return metrics.text();
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

function serverMetrics(metrics: Metrics, stats: DnsStats): void {
  const plain = (value: number): Sample[] => [{ value, labels: {} }];
  metrics.counter('dns_requests_total', 'Questions by protocol, family and type.', requests(stats.tallies));
  metrics.counter('dns_do_requests_total', 'Questions of who wants DNSSEC records.', dnssecRequests(stats.tallies));
  metrics.counter('dns_responses_total', 'Answers by code, and by who gave them.', responses(stats.tallies));
  metrics.counter('dns_dropped_total', 'Packets that deserved no answer.', plain(stats.droppedCount));
  metrics.counter('panics_total', 'Questions over which the server stumbled.', plain(stats.panics));
  metrics.histogram('dns_request_duration_seconds', 'Seconds from a question to its answer.', [
    [SERVER, stats.latency],
  ]);
  const byProtocol = ({ udp, tcp }: DnsStats['requestSizes']) =>
    [
      [{ ...SERVER, proto: 'udp' }, udp],
      [{ ...SERVER, proto: 'tcp' }, tcp],
    ] as const;
  metrics.histogram('dns_request_size_bytes', 'Sizes of questions.', byProtocol(stats.requestSizes));
  metrics.histogram('dns_response_size_bytes', 'Sizes of answers.', byProtocol(stats.responseSizes));
}

function cacheMetrics(metrics: Metrics, { cache, forwarders }: MetricSources): void {
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
  metrics.gauge('cache_entries', 'Answers from outside that are kept.', both(cache.sizes));
  metrics.counter('cache_requests_total', 'Questions to the cache.', plain(hits.success + hits.denial + misses));
  metrics.counter('cache_hits_total', 'Questions that the cache answered.', both(hits));
  metrics.counter('cache_misses_total', 'Questions that it could not answer.', plain(misses));
  metrics.counter('cache_evictions_total', 'Answers that had to make room.', both(cache.evictions));
  const prefetched = of(({ counts }) => counts.prefetched);
  metrics.counter('cache_prefetch_total', 'Answers fetched before their time was over.', plain(prefetched));
  const stale = of(({ counts }) => counts.servedStale);
  metrics.counter('cache_served_stale_total', 'Answers given after their time.', plain(stale));
}

function upstreamMetrics(metrics: Metrics, { forwarders }: MetricSources): void {
  const all = forwarders.flatMap(({ upstreams }) => upstreams.all);
  const each = (pick: (upstream: (typeof all)[number]) => number): Sample[] =>
    all.map((upstream) => ({ value: pick(upstream), labels: { to: upstream.text } }));
  const of = (pick: (forwarder: Forwarder) => number): Sample[] => [
    { value: forwarders.reduce((sum, each) => sum + pick(each), 0), labels: {} },
  ];
  const asked = each(({ requests }) => requests);
  metrics.counter('forward_requests_total', 'Questions to each upstream resolver.', asked);
  const broken = of(({ counts }) => counts.broken);
  metrics.counter('forward_healthcheck_broken_total', 'Questions at a time when no upstream worked.', broken);
  const rejected = of(({ counts }) => counts.rejected);
  metrics.counter('forward_max_concurrent_rejects_total', 'Questions refused as too many waited.', rejected);
  const silent = all.map(({ text, timeouts }) => ({ value: timeouts, labels: { ...PROXY, to: text } }));
  metrics.counter('proxy_healthcheck_failures_total', 'Questions that it did not answer in time.', silent);
  const durations = all.flatMap(({ text, durations: counted }) =>
    Array.from(counted, ([rcode, histogram]) => [{ ...PROXY, to: text, rcode }, histogram] as const),
  );
  const name = 'proxy_request_duration_seconds';
  metrics.histogram(name, 'Seconds to the answer of each upstream resolver.', durations);
  const looping = each((upstream) => Number(upstream.looping));
  metrics.gauge('forward_loop', 'Whether what it is asked comes back to us.', looping);
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
