// Room client: a Transport over HTTPS: our own server's or any other Kubernetes API server's.
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { createInterface } from 'node:readline';
import { failure, type Status, StatusError } from '../objects/status.ts';
import type { ApiRequest, ApiResponse, Transport, WatchEvent, WatchStream } from './transport.ts';

/** Where the server is and who we are, in node:https' words. */
export interface HttpsTarget {
  /** `https://127.0.0.1:6443`, with or without a path. */
  readonly server: string;
  readonly tls: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'>;
  /** Value of the Authorization header; asked for at each request, since tokens are renewed. */
  readonly authorization?: () => string | undefined;
}

/** A watch may be silent for long: TCP itself asks whether the server is still there. */
const KEEP_ALIVE_MS = 15_000;
/** No byte for this long on a request that is not a watch: the connection is taken for dead. */
const REQUEST_TIMEOUT_MS = 60_000;

export class HttpsTransport implements Transport {
  readonly #target: Promise<HttpsTarget>;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 });
  /** Watches hold their connection for as long as they last, so they are not counted among those of requests. */
  readonly #watchAgent = new Agent({ keepAlive: false });

  constructor(target: HttpsTarget | Promise<HttpsTarget>) {
    this.#target = Promise.resolve(target);
    this.#target.catch(() => {}); // each request tells of it
  }

  async request(request: ApiRequest): Promise<ApiResponse> {
    const response = await this.#send(request, this.#agent, REQUEST_TIMEOUT_MS);
    const text = Buffer.concat(await response.toArray()).toString('utf8');
    return { status: response.statusCode ?? 0, body: bodyOf(response, text) };
  }

  async #send(
    { method, path, query = {}, headers = {}, body }: ApiRequest,
    agent: Agent,
    timeout: number,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const { server, tls, authorization } = await this.#target;
    const search = new URLSearchParams(query).toString();
    const url = `${server.replace(/\/$/, '')}${path}${search && `?${search}`}`;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const bearer = authorization?.();
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = httpsRequest(url, {
      ...tls,
      method,
      agent,
      timeout,
      ...(signal && { signal }),
      headers: {
        accept: 'application/json',
        ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        ...headers,
        ...(bearer && { authorization: bearer }),
      },
    });
    request.on('socket', (socket) => socket.setKeepAlive(true, KEEP_ALIVE_MS));
    request.on('response', resolve);
    request.on('error', reject);
    request.on('timeout', () => request.destroy(new Error(`${server} does not answer`)));
    request.end(text);
    return promise;
  }

  watch(request: ApiRequest, onEvent: (event: WatchEvent) => void): WatchStream {
    const abort = new AbortController();
    const done = this.#watch(request, onEvent, abort.signal).catch((error: unknown) => {
      if (!abort.signal.aborted) throw error;
    });
    return { done, stop: () => abort.abort() };
  }

  async #watch(request: ApiRequest, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    const response = await this.#send(request, this.#watchAgent, 0, signal);
    if ((response.statusCode ?? 0) >= 400) {
      const text = Buffer.concat(await response.toArray()).toString('utf8');
      throw new StatusError(bodyOf(response, text) as Status);
    }
    for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (signal.aborted) return;
      if (line === '') continue;
      const event = JSON.parse(line) as WatchEvent;
      if (event.type === 'ERROR') throw new StatusError(event.object as Status);
      onEvent(event);
    }
  }

  close(): void {
    this.#agent.destroy();
    this.#watchAgent.destroy();
  }
}

/** A proxy on the way may answer with something else than JSON: that becomes a Status too. */
function bodyOf(response: IncomingMessage, text: string): unknown {
  const type = response.headers['content-type'] ?? '';
  if (type.includes('json')) return JSON.parse(text);
  const code = response.statusCode ?? 0;
  return code < 400 ? text : failure(code, response.statusMessage ?? '', text.trim() || `HTTP ${code}`).status;
}
