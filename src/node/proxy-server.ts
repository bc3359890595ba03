// Room node: /metrics, /healthz and /proxyMode of the proxy, on loopback inside the node's namespace, where kube-proxy has them.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Kernel } from '../kernel/kernel.ts';
import { logger } from '../observe/log.ts';
import type { TrafficPolicy } from '../plan/frontends.ts';
import type { Plan } from '../plan/plan.ts';
import { countedSets } from '../plan/proxy-base.ts';
import type { NodeFacts } from '../plan/proxy-names.ts';
import { SysError } from '../sys/ffi.ts';
import { listenOn, openSocket } from '../sys/socket.ts';
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
export function serveProxy(options: ProxyServerOptions, port = METRICS_PORT): { readonly port: number; close(): void } {
  const { createServer } = process.getBuiltinModule('node:http');
  let server: Server | undefined;
  try {
    const fd = listenOn(openSocket('inet', 'stream'), '127.0.0.1', port, {});
    server = createServer((request, response) => void answer(options, request, response));
    server.on('error', () => {});
    server.listen({ fd });
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    logger('proxy').warn({ port, err: error }, 'no metrics of Services here: the port is not to be had');
  }
  return {
    get port() {
      return (server?.address() as { port: number } | null | undefined)?.port ?? 0;
    },
    close() {
      server?.close();
      server?.closeAllConnections();
    },
  };
}

async function answer(options: ProxyServerOptions, { url }: IncomingMessage, response: ServerResponse): Promise<void> {
  switch (url?.split('?')[0]) {
    case '/metrics': {
      const { proxyMetricsText } = await import('./proxy-metrics.ts');
      const { stats, facts } = options;
      const [dropped, traffic] = countedSets(facts()).map((sets) =>
        serviceCounts(
          options.plan,
          sets.flatMap((set) => options.kernel.nftCounts(set).map((count) => ({ ...count, set: set.set }))),
        ),
      );
      response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
      const [pending, withoutLocal] = [options.pending(), options.withoutLocal()];
      response.end(await proxyMetricsText({ stats, pending, withoutLocal, dropped: dropped ?? [], traffic }));
      return;
    }
    case '/healthz':
      response.end('ok');
      return;
    case '/proxyMode':
      response.end(options.mode);
      return;
    default:
      response.writeHead(404).end('here are /metrics, /healthz and /proxyMode\n');
  }
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
