// Room api: the server's front: TLS, HTTP/1.1, bodies in, answers and watch streams out.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { gzip } from 'node:zlib';
import type { ApiRequest } from '../client/transport.ts';
import { failure, type Status, StatusError } from '../objects/status.ts';
import { type Answer, type Call, statusOf, type User } from './answer.ts';
import { ANONYMOUS, type Authenticator, impersonated, isPublic, unauthorized } from './auth.ts';
import type { ClusterKeys } from './authority.ts';
import { badRequest } from './errors.ts';
import type { Handler } from './handler.ts';
import type { KubeletProxy } from './kubelet-proxy.ts';
import { eventLine, eventRenderer, formOf, includeObjectOf, render } from './negotiate.ts';
import { parseRoute } from './path.ts';
import type { ApiServerOptions } from './server.ts';
import { routeOf } from './special.ts';
import { refuseUpgrade } from './upgrade.ts';
import type { Sink, Watcher } from './watch.ts';

const BODY_LIMIT = 3 * 1024 * 1024;
/** Answers longer than this are sent compressed to those who can read it. */
const GZIP_FROM = 128 * 1024;
const WATCH_CHUNK = 64 * 1024;
const LONGEST_WATCH_SECONDS = 3600;

export interface Front {
  readonly port: number;
  close(): Promise<void>;
}

export class HttpsFront {
  readonly #handler: Handler;
  readonly #authenticator: Authenticator;
  readonly #kubelet: KubeletProxy;
  /** Connections that speak another protocol now, of which node:http keeps no account. */
  readonly #upgraded = new Set<Duplex>();

  constructor(handler: Handler, authenticator: Authenticator, kubelet: KubeletProxy) {
    this.#handler = handler;
    this.#authenticator = authenticator;
    this.#kubelet = kubelet;
  }

  async listen(keys: ClusterKeys, names: readonly string[], listen: ApiServerOptions['listen']): Promise<Front> {
    const { key, certificate } = keys.server(names);
    const tls = { key, cert: certificate, ca: keys.authority, requestCert: true, rejectUnauthorized: false };
    const servers = listen.map(() => {
      const server = createServer({ ...tls, keepAliveTimeout: 90_000, requestTimeout: 0 });
      server.on('request', (request, response) => void this.#onRequest(request, response));
      server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head));
      server.on('tlsClientError', (_, socket) => socket.destroy());
      return server;
    });
    await Promise.all(servers.map((server, i) => listening(server, listen[i]!)));
    const bound = servers[listen.findIndex((each) => 'port' in each)]?.address() as AddressInfo | undefined;
    return { port: bound?.port ?? 0, close: () => closeAll(servers, this.#upgraded) };
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const call = await this.#callOf(request);
      if (this.#handler.isWatch(call)) this.#watch(call, request, response);
      else if (this.#kubelet.takes(call)) await this.#kubelet.request(call, request, response);
      else {
        if (routeOf(call)) formOf(request.headers.accept); // refused before anything is done
        send(request, response, await this.#handler.answer(call), call);
      }
    } catch (error) {
      sendStatus(request, response, statusOf(error));
    }
  }

  #userOf(request: IncomingMessage, path: string): User {
    const user = this.#authenticator.authenticate(request);
    if (user) return impersonated(user, request);
    if (isPublic(path)) return ANONYMOUS;
    throw unauthorized();
  }

  async #callOf(request: IncomingMessage): Promise<Call> {
    const url = urlOf(request);
    const user = this.#userOf(request, url.pathname);
    const method = request.method as ApiRequest['method'];
    const headers = request.headers as Record<string, string>;
    const call = { method, path: url.pathname, query: Object.fromEntries(url.searchParams), headers, user };
    if (method === 'GET') return call;
    routeOf(call); // a body for a path that is not there is not looked at
    return { ...call, body: await readBody(request) };
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#upgraded.delete(socket));
    this.#upgraded.add(socket);
    try {
      const url = urlOf(request);
      const user = this.#userOf(request, url.pathname);
      this.#kubelet.upgrade({ method: 'GET', path: url.pathname, user }, request, socket, head);
    } catch (error) {
      refuseUpgrade(socket, statusOf(error));
    }
  }

  #watch(call: Call, request: IncomingMessage, response: ServerResponse): void {
    const form = formOf(request.headers.accept);
    const query = call.query ?? {};
    const { row } = parseRoute(call)!;
    const toLine = eventRenderer(row, { form, includeObject: includeObjectOf(query) });
    const timeoutSeconds =
      query['timeoutSeconds'] ?? String(Math.round(LONGEST_WATCH_SECONDS * (0.5 + Math.random() / 2)));
    const sink = new ResponseSink(response, toLine);
    let watcher: Watcher;
    try {
      watcher = this.#handler.watch({ ...call, query: { ...query, timeoutSeconds } }, sink);
    } catch (error) {
      if (!(error instanceof StatusError) || error.code !== 410) throw error;
      sink.begin();
      sink.end(error);
      return;
    }
    sink.begin();
    response.on('drain', () => watcher.pump());
    response.on('close', () => watcher.stop());
    watcher.pump();
  }
}

function urlOf(request: IncomingMessage): URL {
  const url = URL.parse(request.url ?? '/', 'https://podwire');
  if (!url) throw badRequest('the request names no path');
  return url;
}

/** One JSON line per event. What the socket does not take at once stays where it is, in the store. */
class ResponseSink implements Sink {
  readonly #response: ServerResponse;
  readonly #toLine: ReturnType<typeof eventRenderer>;
  #lines = '';

  constructor(response: ServerResponse, toLine: ReturnType<typeof eventRenderer>) {
    this.#response = response;
    this.#toLine = toLine;
  }

  begin(): void {
    this.#response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
    this.#response.flushHeaders();
  }

  get ready(): boolean {
    return !this.#response.writableNeedDrain;
  }

  send(...event: Parameters<Sink['send']>): void {
    this.#lines += this.#toLine(...event);
    if (this.#lines.length >= WATCH_CHUNK) this.flush();
  }

  flush(): void {
    if (this.#lines) this.#response.write(this.#lines);
    this.#lines = '';
  }

  end(error?: StatusError): void {
    if (error) this.#lines += eventLine('ERROR', JSON.stringify(error.status));
    this.#response.end(this.#lines);
    this.#lines = '';
  }
}

function listening(server: Server, where: ApiServerOptions['listen'][number]): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, resolve);
  });
}

/** The watches have been ended before this; idle connections are closed, others when their answer is out. */
async function closeAll(servers: readonly Server[], upgraded: Iterable<Duplex>): Promise<void> {
  const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
  for (const server of servers) server.closeIdleConnections();
  for (const socket of upgraded) socket.destroy();
  const timer = setTimeout(() => {
    for (const server of servers) server.closeAllConnections();
  }, 500);
  await Promise.all(closed);
  clearTimeout(timer);
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY_LIMIT) throw failure(413, 'RequestEntityTooLarge', `limit is ${BODY_LIMIT}`);
    chunks.push(chunk);
  }
  if (length === 0) return undefined;
  return parseBody(Buffer.concat(chunks), request.headers['content-type'] ?? 'application/json');
}

async function parseBody(body: Buffer, contentType: string): Promise<unknown> {
  const type = contentType.split(';')[0]!.trim().toLowerCase();
  if (type === 'application/vnd.kubernetes.protobuf') return (await import('./protobuf.ts')).decodeProtobuf(body);
  try {
    if (type.endsWith('json')) return JSON.parse(body.toString('utf8'));
    if (type.endsWith('yaml')) return (await import('./yaml-body.ts')).parseYaml(body.toString('utf8'));
  } catch (error) {
    throw badRequest(`the body of the request is not ${type}: ${(error as Error).message}`);
  }
  const message = `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf`;
  throw failure(415, 'UnsupportedMediaType', message);
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer, call: Call): void {
  const { status, content, warnings = [], headers = {} } = answer;
  if (content.type === 'text') {
    write(request, response, status, content.text, { 'content-type': content.mediaType, ...headers });
    return;
  }
  if (content.type === 'bytes') {
    write(request, response, status, content.bytes, { 'content-type': content.mediaType, ...headers });
    return;
  }
  // A Status is written whatever the client accepts: it says what went wrong.
  const form = content.type === 'value' ? 'json' : formOf(request.headers.accept);
  const text = render(content, { form, includeObject: includeObjectOf(call.query ?? {}) });
  const warning = warnings.map((each) => `299 - ${JSON.stringify(each).replace(/[^ -~]/g, '?')}`);
  write(request, response, status, text, {
    'content-type': 'application/json',
    ...headers,
    ...(warning.length > 0 && { warning }),
  });
}

type Headers = Record<string, string | string[]>;

function write(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  text: string | Buffer,
  headers: Headers,
): void {
  const plain = text.length < GZIP_FROM || !/\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  if (status === 304 || plain) {
    response.writeHead(status, { ...headers, ...(status !== 304 && { 'content-length': Buffer.byteLength(text) }) });
    response.end(status === 304 ? undefined : text);
    return;
  }
  gzip(text, { level: 1 }, (error, compressed) => {
    if (error) return void response.destroy(error);
    response.writeHead(status, { ...headers, 'content-encoding': 'gzip', 'content-length': compressed.length });
    response.end(compressed);
  });
}

function sendStatus(request: IncomingMessage, response: ServerResponse, status: Status): void {
  if (response.headersSent) return void response.destroy();
  if (!request.complete) response.setHeader('connection', 'close'); // the rest of a refused body is not read
  write(request, response, status.code, JSON.stringify(status), { 'content-type': 'application/json' });
}
