// Room dns: the pages of the DNS server, /metrics, /health and /ready, in the node's namespace.
import type { IP } from '../addr/ip.ts';
import type { Logger } from '../observe/log.ts';
import { servePages } from '../observe/pages.ts';
import type { MetricSources } from './metrics.ts';

export interface DnsPagesOptions {
  readonly ips: readonly IP[];
  /** 0: nowhere. */
  readonly port: number;
  readonly isReady: () => boolean;
  readonly sources: () => MetricSources;
  readonly log: Logger;
}

/** A port that somebody else has costs the pages and not the names. */
export function serveDnsPages({ ips, port, isReady, sources, log }: DnsPagesOptions): { close(): void } {
  return servePages({
    ips,
    port,
    pages: {
      '/metrics': async () => {
        const { metricsText } = await import('./metrics.ts');
        return { body: await metricsText(sources()) };
      },
      '/health': () => ({ body: 'OK' }),
      '/ready': () => (isReady() ? { body: 'OK' } : { status: 503, body: 'kubernetes' }),
    },
    onRefused: (ip, err) => log.warn({ ip, port, err }, 'no metrics and no readiness here: the port is not to be had'),
  });
}
