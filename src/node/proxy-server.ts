// Room node: /metrics, /healthz and /proxyMode of the proxy, on loopback inside the node's namespace, where kube-proxy has them.
import type { IP } from '../addr/ip.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { logger } from '../observe/log.ts';
import { servePages } from '../observe/pages.ts';
import type { TrafficPolicy } from '../plan/frontends.ts';
import type { Plan } from '../plan/plan.ts';
import { countedSets } from '../plan/proxy-base.ts';
import type { NodeFacts } from '../plan/proxy-names.ts';
import type { ProxyStats } from './proxy-stats.ts';

export const METRICS_PORT = 10_249;

/** What was counted for one address and port of a Service; what it says of whom are a metric's labels. */
export interface ServiceCount {
  readonly namespace: string;
  readonly service: string;
  readonly address: string;
  readonly protocol: string;
  readonly port: string;
  readonly packets: number;
  readonly bytes: number;
}

export interface ProxyServerOptions {
  readonly kernel: Pick<Kernel, 'nftCounts'>;
  readonly plan: Plan;
  readonly facts: () => NodeFacts;
  readonly stats: ProxyStats;
  readonly pending: () => { services: number; endpoints: number };
  /** Ports of Services whose policy of Local leaves this node without an endpoint. */
  readonly withoutLocal: () => Readonly<Record<TrafficPolicy, number>>;
  readonly mode: string;
}

/** A port that somebody else has costs the metrics, not the Services. */
export function serveProxy(options: ProxyServerOptions, port = METRICS_PORT, ip: IP = '127.0.0.1'): { close(): void } {
  return servePages({
    ips: [ip],
    port,
    pages: {
      '/metrics': async () => ({ body: await metrics(options) }),
      '/healthz': () => ({ body: 'ok' }),
      '/proxyMode': () => ({ body: options.mode }),
    },
    onRefused: (_, err) =>
      logger('proxy').warn({ port, err }, 'no metrics of Services here: the port is not to be had'),
  });
}

async function metrics(options: ProxyServerOptions): Promise<string> {
  const { kernel, plan, facts, stats, pending, withoutLocal } = options;
  const { proxyMetricsText } = await import('./proxy-metrics.ts');
  const [dropped = [], traffic] = countedSets(facts()).map((sets) => {
    const counts = sets.flatMap((set) => kernel.nftCounts(set).map((count) => ({ ...count, set: set.set })));
    return serviceCounts(plan, counts);
  });
  return proxyMetricsText({ stats, pending: pending(), withoutLocal: withoutLocal(), dropped, traffic });
}

interface Count {
  readonly set: string;
  readonly key: readonly (string | number)[];
  readonly packets: number;
  readonly bytes: number;
}

/** Whose each count is, the plan says. */
function serviceCounts(plan: Plan, counts: readonly Count[]): ServiceCount[] {
  const owners = new Map<string, { namespace: string; service: string }>();
  const sets = new Set(counts.map(({ set }) => set));
  for (const { cause, items } of plan.values()) {
    if (cause.kind !== 'Service') continue;
    const owner = { namespace: cause.namespace ?? '', service: cause.name };
    for (const item of items) {
      if (item.kind === 'element' && sets.has(item.set)) owners.set(`${item.set} ${item.key.join(' ')}`, owner);
    }
  }
  return counts.flatMap(({ set, key, packets, bytes }) => {
    const owner = owners.get(`${set} ${key.join(' ')}`);
    const [address, protocol, port] = key.map(String) as [string, string, string];
    return owner ? [{ ...owner, address, protocol, port, packets, bytes }] : [];
  });
}
