// Room observe: pages over HTTP for whoever watches the parts of a node: metrics, readiness.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { familyOf, type IP } from '../addr/ip.ts';
import { SysError } from '../sys/ffi.ts';
import { listenOn, openSocket } from '../sys/socket.ts';

export interface Page {
  /** 200 when absent. */
  readonly status?: number;
  readonly body: string;
}

/** Prometheus's text format. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface PagesOptions {
  readonly ips: readonly IP[];
  /** 0: nowhere. */
  readonly port: number;
  /** By path, `/metrics`. Made when it is asked for. */
  readonly pages: Readonly<Record<string, () => Page | Promise<Page>>>;
  /** The port is not to be had there: somebody else has it, a pod of the node's network it may be. */
  readonly onRefused: (ip: IP, error: SysError) => void;
}

/** In the calling thread's network namespace, whether or not the addresses are there yet. */
export function servePages({ ips, port, pages, onRefused }: PagesOptions): { close(): void } {
  // An import statement would read every export of it, which costs 25 ms.
  const { createServer } = process.getBuiltinModule('node:http');
  const servers: Server[] = [];
  for (const ip of port > 0 ? ips : []) {
    try {
      const fd = listenOn(openSocket(familyOf(ip) === 6 ? 'inet6' : 'inet', 'stream'), ip, port, { freeBind: true });
      const server = createServer((request, response) => void answer(pages, request, response));
      server.on('error', () => {});
      servers.push(server.listen({ fd }));
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      onRefused(ip, error);
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

async function answer(
  pages: PagesOptions['pages'],
  { url = '/' }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = url.split('?')[0]!;
  const page = pages[path];
  if (!page) {
    response.writeHead(404).end(`here are ${Object.keys(pages).join(', ')}\n`);
    return;
  }
  const { status = 200, body } = await page();
  response.writeHead(status, path === '/metrics' ? { 'content-type': METRICS_TYPE } : {}).end(body);
}
