// Room dns: the pages of the DNS server, /metrics, /health and /ready, over HTTP in the node's namespace.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { familyOf, type IP } from '../addr/ip.ts';
import type { Logger } from '../observe/log.ts';
import { SysError } from '../sys/ffi.ts';
import { listenOn, openSocket } from '../sys/socket.ts';
import type { MetricSources } from './metrics.ts';

export interface PageOptions {
  readonly ips: readonly IP[];
  /** 0: nowhere. */
  readonly port: number;
  readonly isReady: () => boolean;
  readonly sources: () => MetricSources;
  readonly log: Logger;
}

/** A port that somebody else has, a pod of the node's network it may be, costs the pages and not the names. */
export function servePages(options: PageOptions): { close(): void } {
  // An import statement would read every export of it, which costs 25 ms.
  const { createServer } = process.getBuiltinModule('node:http');
  const servers: Server[] = [];
  for (const ip of options.port > 0 ? options.ips : []) {
    try {
      const socket = openSocket(familyOf(ip) === 6 ? 'inet6' : 'inet', 'stream');
      const fd = listenOn(socket, ip, options.port, { freeBind: true });
      const server = createServer((request, response) => void answer(options, request, response));
      server.on('error', () => {});
      servers.push(server.listen({ fd }));
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      options.log.warn(
        { ip, port: options.port, err: error },
        'no metrics and no readiness here: the port is not to be had',
      );
    }
  }
  return {
    close() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

async function answer(options: PageOptions, { url }: IncomingMessage, response: ServerResponse): Promise<void> {
  switch (url?.split('?')[0]) {
    case '/metrics': {
      const { metricsText } = await import('./metrics.ts');
      response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
      response.end(await metricsText(options.sources()));
      return;
    }
    case '/ready':
      response.writeHead(options.isReady() ? 200 : 503).end(options.isReady() ? 'OK' : 'kubernetes');
      return;
    case '/health':
      response.end('OK');
      return;
    default:
      response.writeHead(404).end('here are /metrics, /health and /ready\n');
  }
}
