// Room api: logs, exec and attach of pods: found here, answered by the agent of the pod's node over its unix socket.
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { failure, type StatusError } from '../objects/status.ts';
import type { Pod } from '../objects/types.ts';
import type { Call } from './answer.ts';
import { badRequest, methodNotAllowed } from './errors.ts';
import { parseRoute, type ResourceRoute } from './path.ts';
import { getEntry } from './read.ts';
import type { ApiServerOptions } from './server.ts';
import type { Store } from './store.ts';
import { refuseUpgrade } from './upgrade.ts';

/** Subresource to the kubelet's own path. */
const KUBELET_PATHS: Readonly<Record<string, string>> = { log: 'containerLogs', exec: 'exec', attach: 'attach' };

interface Target {
  readonly socketPath: string;
  /** With the query. */
  readonly path: string;
}

export class KubeletProxy {
  readonly #store: Store;
  readonly #kubeletSocket: ApiServerOptions['kubeletSocket'];

  constructor(store: Store, kubeletSocket: ApiServerOptions['kubeletSocket']) {
    this.#store = store;
    this.#kubeletSocket = kubeletSocket;
  }

  takes(call: Pick<Call, 'method' | 'path'>): boolean {
    if (!/^\/api\/v1\/namespaces\/[^/]+\/pods\/[^/]+\/(log|exec|attach|portforward)$/.test(call.path)) return false;
    return parseRoute(call)?.row.kind === 'Pod';
  }

  /** GET pods/x/log: the kubelet's answer, as it comes. */
  async request(call: Call, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = parseRoute(call)!;
    if (route.subresource !== 'log') throw upgradeRequired(route.subresource);
    if (call.method !== 'GET') throw methodNotAllowed();
    const pod = getEntry(this.#store, route).object as unknown as Pod;
    const target = this.#target(route, pod, new URL(request.url!, 'https://podwire').searchParams);
    if (!target) {
      response.writeHead(200, { 'content-type': 'text/plain' }).end(); // not on any node yet: it has said nothing
      return;
    }
    const upstream = httpRequest({ ...target, headers: { host: 'kubelet' } });
    response.on('close', () => upstream.destroy());
    upstream.end();
    const answer = await answerOf(upstream, pod);
    response.writeHead(200, { 'content-type': answer.headers['content-type'] ?? 'text/plain' });
    response.flushHeaders();
    answer.on('error', () => response.destroy());
    answer.pipe(response);
  }

  /** exec and attach: after the handshake the bytes pass both ways as they are. */
  upgrade(call: Pick<Call, 'method' | 'path' | 'user'>, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const route = this.takes(call) ? parseRoute(call)! : undefined;
    if (!route || route.subresource === 'log') throw badRequest('this path cannot be upgraded to another protocol');
    if (route.subresource === 'portforward') {
      throw failure(501, 'NotImplemented', 'port-forward is not served yet: use the NodePort or the IP of the pod');
    }
    const pod = getEntry(this.#store, route).object as unknown as Pod;
    const target = this.#target(route, pod, new URL(request.url!, 'https://podwire').searchParams);
    if (!target) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') throw upgradeRequired(route.subresource);
    const upstream = connect(target.socketPath);
    let connected = false;
    upstream.on('error', (error) => {
      if (connected) socket.destroy();
      else refuseUpgrade(socket, unreachable(pod, error).status);
    });
    upstream.on('connect', () => {
      connected = true;
      upstream.write(`${handshake(target.path, request)}\r\n`);
      if (head.length > 0) upstream.write(head);
      socket.pipe(upstream);
      upstream.pipe(socket);
    });
    upstream.on('close', () => connected && !upstream.readableEnded && socket.destroy());
    socket.on('close', () => upstream.destroy());
  }

  /** Undefined when the pod is on no node. */
  #target(route: ResourceRoute, pod: Pod, query: URLSearchParams): Target | undefined {
    const container = containerOf(pod, query.get('container') ?? '');
    const { nodeName } = pod.spec;
    if (!nodeName) return undefined;
    const socketPath = this.#kubeletSocket(nodeName);
    if (!socketPath) throw unreachable(pod, new Error(`no agent of node "${nodeName}" is known here`));
    query.delete('container');
    const { namespace = '', name } = pod.metadata;
    const path = [KUBELET_PATHS[route.subresource!], namespace, name, container].join('/');
    return { socketPath, path: `/${path}?${query}` };
  }
}

function containerOf(pod: Pod, wanted: string): string {
  const { name } = pod.metadata;
  const containers = pod.spec.containers.map((each) => each.name);
  const init = (pod.spec.initContainers ?? []).map((each) => each.name);
  if (wanted !== '') {
    if (containers.includes(wanted) || init.includes(wanted)) return wanted;
    throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  }
  if (containers.length === 1) return containers[0]!;
  const others = init.length > 0 ? ` or one of the init containers: [${init.join(' ')}]` : '';
  throw badRequest(
    `a container name must be specified for pod ${name}, choose one of: [${containers.join(' ')}]${others}`,
  );
}

function upgradeRequired(subresource: string | undefined): StatusError {
  return badRequest(`${subresource} is served over WebSocket (v5.channel.k8s.io): Upgrade request required`);
}

function unreachable({ spec }: Pod, error: Error): StatusError {
  const message = `the agent of node "${spec.nodeName}" cannot be reached: ${error.message}`;
  return failure(503, 'ServiceUnavailable', message);
}

function handshake(path: string, request: IncomingMessage): string {
  const lines = [`GET ${path} HTTP/1.1`];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i]!;
    if (name.toLowerCase() !== 'authorization') lines.push(`${name}: ${request.rawHeaders[i + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n`;
}

/** The kubelet's errors are plain text; the API's are Statuses. */
function answerOf(upstream: ReturnType<typeof httpRequest>, pod: Pod): Promise<IncomingMessage> {
  const answer = Promise.withResolvers<IncomingMessage>();
  upstream.on('error', (error) => answer.reject(unreachable(pod, error)));
  upstream.on('response', async (response) => {
    const code = response.statusCode ?? 500;
    if (code < 400) return answer.resolve(response);
    try {
      const text = Buffer.concat(await response.toArray())
        .toString()
        .trim();
      answer.reject(failure(code, code === 404 ? 'NotFound' : code < 500 ? 'BadRequest' : 'InternalError', text));
    } catch (error) {
      answer.reject(error);
    }
  });
  return answer.promise;
}
