// Room node: the proxy's metrics as Prometheus's text, under kube-proxy's names where they match. Loaded when it is asked for.
import { Metrics, type Sample } from '../observe/metrics.ts';
import type { TrafficPolicy } from '../plan/frontends.ts';
import type { ServiceCount } from './proxy-server.ts';
import type { ProxyStats } from './proxy-stats.ts';

export interface ProxyMetricSources {
  readonly stats: ProxyStats;
  readonly pending: { readonly services: number; readonly endpoints: number };
  readonly withoutLocal: Readonly<Record<TrafficPolicy, number>>;
  readonly dropped: readonly ServiceCount[];
  /** Only where Services are counted. */
  readonly traffic: readonly ServiceCount[] | undefined;
}

/** The counts are read when it is asked for. */
export function proxyMetricsText({
  stats,
  pending,
  withoutLocal,
  dropped,
  traffic,
}: ProxyMetricSources): Promise<string> {
  const metrics = new Metrics();
  const sync = 'kubeproxy_sync_proxy_rules';
  metrics.histogram(`${sync}_duration_seconds`, 'Seconds that one sync took.', stats.sync);
  const programming = 'kubeproxy_network_programming_duration_seconds';
  const help = 'Seconds from a change of endpoints until packets know of it.';
  metrics.histogram(programming, help, stats.programming);
  metrics.gauge(`${sync}_last_timestamp_seconds`, 'When Services were last synced.', stats.lastSync / 1000);
  const queued = `${sync}_last_queued_timestamp_seconds`;
  metrics.gauge(queued, 'When a sync was last asked for.', stats.lastQueued / 1000);
  metrics.counter(`${sync}_service_changes_total`, 'Changes of Services.', stats.serviceChanges);
  metrics.counter(`${sync}_endpoint_changes_total`, 'Changes of EndpointSlices.', stats.endpointChanges);
  metrics.gauge(`${sync}_service_changes_pending`, 'Services not yet synced.', pending.services);
  metrics.gauge(`${sync}_endpoint_changes_pending`, 'EndpointSlices not yet synced.', pending.endpoints);
  metrics.counter(`${sync}_nftables_sync_failures_total`, 'Syncs that the kernel refused.', stats.failures);
  const samples = Object.entries(withoutLocal).map(([policy, value]) => ({
    value,
    labels: { traffic_policy: policy },
  }));
  const away = 'Ports of Services whose policy of Local leaves this node without an endpoint.';
  metrics.gauge(`${sync}_no_local_endpoints_total`, away, samples);
  const deleted = 'kubeproxy_conntrack_reconciler_deleted_entries_total';
  metrics.counter(deleted, 'Connection tracking entries to endpoints that are gone.', stats.conntrackDeleted);
  serviceMetrics(metrics, dropped, traffic);
  return metrics.text();
}

function serviceMetrics(
  metrics: Metrics,
  dropped: readonly ServiceCount[],
  traffic: readonly ServiceCount[] | undefined,
): void {
  const samples = (counts: readonly ServiceCount[], pick: 'packets' | 'bytes'): Sample[] =>
    counts.map(({ [pick]: value, packets: _, bytes: __, ...labels }) => ({ value, labels }));
  const drops = 'Packets that a Service did not want here: no endpoint on this node, or a source it does not allow.';
  metrics.counter('podwire_service_dropped_packets_total', drops, samples(dropped, 'packets'));
  if (!traffic) return;
  metrics.counter('podwire_service_packets_total', 'Packets of each Service, both ways.', samples(traffic, 'packets'));
  metrics.counter('podwire_service_bytes_total', 'Bytes of each Service, both ways.', samples(traffic, 'bytes'));
}
