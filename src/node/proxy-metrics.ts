// Room node: the proxy's metrics as Prometheus's text, under kube-proxy's names where they match. Loaded when it is asked for.
import { type Metric, Registry } from 'prom-client';
import type { ServiceCount } from './proxy-server.ts';
import type { Counted, ProxyStats } from './proxy-stats.ts';

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly metricName?: string;
}
type Add = (type: 'counter' | 'gauge' | 'histogram', name: string, help: string, values: readonly Sample[]) => void;

export interface ProxyMetricSources {
  readonly stats: ProxyStats;
  readonly pending: { readonly services: number; readonly endpoints: number };
  readonly dropped: readonly ServiceCount[];
  /** Only where Services are counted. */
  readonly traffic: readonly ServiceCount[] | undefined;
}

/** The counts are read when it is asked for. */
export function proxyMetricsText({ stats, pending, dropped, traffic }: ProxyMetricSources): Promise<string> {
  const registry = new Registry();
  const add: Add = (type, name, help, values) => {
    const metric = { name, help, type, aggregator: 'sum', get: async () => ({ name, help, type, values }) };
    registry.registerMetric(metric as unknown as Metric);
  };
  const plain = (value: number): Sample[] => [{ value, labels: {} }];
  const sync = 'kubeproxy_sync_proxy_rules';
  add(
    'histogram',
    `${sync}_duration_seconds`,
    'Seconds that one sync took.',
    buckets(`${sync}_duration_seconds`, stats.sync),
  );
  const programming = 'kubeproxy_network_programming_duration_seconds';
  const help = 'Seconds from a change of endpoints until packets know of it.';
  add('histogram', programming, help, buckets(programming, stats.programming));
  add('gauge', `${sync}_last_timestamp_seconds`, 'When Services were last synced.', plain(stats.lastSync / 1000));
  const queued = `${sync}_last_queued_timestamp_seconds`;
  add('gauge', queued, 'When a sync was last asked for.', plain(stats.lastQueued / 1000));
  add('counter', `${sync}_service_changes_total`, 'Changes of Services.', plain(stats.serviceChanges));
  add('counter', `${sync}_endpoint_changes_total`, 'Changes of EndpointSlices.', plain(stats.endpointChanges));
  add('gauge', `${sync}_service_changes_pending`, 'Services not yet synced.', plain(pending.services));
  add('gauge', `${sync}_endpoint_changes_pending`, 'EndpointSlices not yet synced.', plain(pending.endpoints));
  add('counter', `${sync}_nftables_sync_failures_total`, 'Syncs that the kernel refused.', plain(stats.failures));
  const deleted = 'kubeproxy_conntrack_reconciler_deleted_entries_total';
  add('counter', deleted, 'Connection tracking entries to endpoints that are gone.', plain(stats.conntrackDeleted));
  serviceMetrics(add, dropped, traffic);
  return registry.metrics();
}

function serviceMetrics(
  add: Add,
  dropped: readonly ServiceCount[],
  traffic: readonly ServiceCount[] | undefined,
): void {
  const samples = (counts: readonly ServiceCount[], pick: 'packets' | 'bytes'): Sample[] =>
    counts.map(({ [pick]: value, packets: _, bytes: __, ...labels }) => ({ value, labels }));
  const drops = 'Packets that a Service did not want here: no endpoint on this node, or a source it does not allow.';
  add('counter', 'podwire_service_dropped_packets_total', drops, samples(dropped, 'packets'));
  if (!traffic) return;
  add('counter', 'podwire_service_packets_total', 'Packets of each Service, both ways.', samples(traffic, 'packets'));
  add('counter', 'podwire_service_bytes_total', 'Bytes of each Service, both ways.', samples(traffic, 'bytes'));
}

function buckets(name: string, { bounds, counts, sum }: Counted): Sample[] {
  let total = 0;
  const samples = counts.map((count, i): Sample => {
    total += count;
    return {
      value: total,
      labels: { le: bounds[i] === undefined ? '+Inf' : String(bounds[i]) },
      metricName: `${name}_bucket`,
    };
  });
  return [
    ...samples,
    { value: sum, labels: {}, metricName: `${name}_sum` },
    { value: total, labels: {}, metricName: `${name}_count` },
  ];
}
