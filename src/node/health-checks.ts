// Room node: healthCheckNodePort: tells a load balancer in front whether this node has endpoints of a Service, as kube-proxy tells it.
import type { Server, ServerResponse } from 'node:http';
import { familyOf, type IP } from '../addr/ip.ts';
import { logger } from '../observe/log.ts';
import { SysError } from '../sys/ffi.ts';
import { listenOn, openSocket } from '../sys/socket.ts';

export interface HealthCheck {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** Ready ones on this node. */
  readonly localEndpoints: number;
}

interface Serving {
  check: HealthCheck;
  readonly servers: readonly Server[];
}

/** One small server for each Service that asks for it, at the addresses at which NodePorts are open. */
export class HealthChecks {
  readonly #ips: readonly IP[];
  /** By `namespace/name`. */
  readonly #serving = new Map<string, Serving>();

  constructor(ips: readonly IP[]) {
    this.#ips = ips;
  }

  /** `check` undefined: the Service asks for none any more. */
  set(key: string, check: HealthCheck | undefined): void {
    const serving = this.#serving.get(key);
    if (serving && check?.port === serving.check.port) {
      serving.check = check;
      return;
    }
    if (serving) end(serving);
    this.#serving.delete(key);
    if (check) this.#serving.set(key, this.#serve(check));
  }

  #serve(check: HealthCheck): Serving {
    const { createServer } = process.getBuiltinModule('node:http');
    const servers: Server[] = [];
    const serving: Serving = { check, servers };
    for (const ip of this.#ips) {
      try {
        const fd = listenOn(openSocket(familyOf(ip) === 6 ? 'inet6' : 'inet', 'stream'), ip, check.port, {});
        const server = createServer((_, response) => answer(serving.check, response));
        server.on('error', () => {});
        servers.push(server.listen({ fd }));
      } catch (error) {
        if (!(error instanceof SysError)) throw error;
        const service = `${check.namespace}/${check.name}`;
        const log = logger('proxy');
        log.warn({ service, ip, port: check.port, err: error }, 'no health check here: the port is not to be had');
      }
    }
    return serving;
  }

  close(): void {
    for (const serving of this.#serving.values()) end(serving);
    this.#serving.clear();
  }
}

function end({ servers }: Serving): void {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
}

function answer({ namespace, name, localEndpoints }: HealthCheck, response: ServerResponse): void {
  response.writeHead(localEndpoints > 0 ? 200 : 503, {
    'content-type': 'application/json',
    'x-content-type-options': 'nosniff',
    'x-load-balancing-endpoint-weight': String(localEndpoints),
  });
  const body = { service: { namespace, name }, localEndpoints, serviceProxyHealthy: true };
  response.end(`${JSON.stringify(body, undefined, '\t')}\n`);
}
