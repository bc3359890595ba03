// Room node: the kubelet's own server on a unix socket: logs, exec, attach, for the API server to pass on.
import { rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { failure, StatusError } from '../../objects/status.ts';
import { Fault } from '../../observe/fault.ts';
import { logger } from '../../observe/log.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { readLog } from '../logs/log-reader.ts';
import type { PodWorker } from '../pod-worker.ts';
import { findLog, findRunning } from './find-container.ts';
import { logQuery, parseTarget, streamQuery, type Target } from './query.ts';

// An import statement would read every export, and one of them (WebSocket) loads undici: 25 ms for each node's thread.
const { createServer } = process.getBuiltinModule('node:http');
const log = logger('kubelet');

export interface KubeletOptions {
  readonly socketPath: string;
  readonly stateDir: string;
  readonly runtime: Runtime;
  readonly findPod: (namespace: string, name: string) => PodWorker | undefined;
}

export interface KubeletServer {
  close(): Promise<void>;
}

export async function startKubeletServer(options: KubeletOptions): Promise<KubeletServer> {
  const server = createServer((request, response) => void answer(options, request, response));
  server.on('upgrade', (request, socket, head) => void upgrade(options, request, socket, head));
  // Sockets that changed their protocol are no longer the server's to close.
  const sockets = new Set<Duplex>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  // What an agent that was killed has left.
  rmSync(options.socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.socketPath, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

async function answer(options: KubeletOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const target = parseTarget(request.url!);
    if (target.verb === 'healthz') response.end('ok');
    else if (target.verb === 'containerLogs' && request.method === 'GET') await sendLog(options, target, response);
    else throw failure(404, 'NotFound', `nothing is served at ${request.url}`);
  } catch (error) {
    if (response.headersSent) response.destroy();
    else response.writeHead(error instanceof StatusError ? error.code : 500).end(textOf(error));
  }
}

export function textOf(error: unknown): string {
  if (!(error instanceof StatusError || error instanceof Fault)) log.warn({ err: error }, 'a request failed');
  return error instanceof Error ? error.message : String(error);
}

export function podOf({ findPod }: KubeletOptions, { namespace, pod }: Target): PodWorker {
  const found = findPod(namespace, pod);
  if (!found) throw failure(404, 'NotFound', `pod "${pod}" is not on this node`);
  return found;
}

async function sendLog(options: KubeletOptions, target: Target, response: ServerResponse): Promise<void> {
  const worker = podOf(options, target);
  const { follow, previous, ...query } = logQuery(target.query, Date.now());
  const { path, containerId } = findLog(worker.view(), target.container, previous, options.stateDir);
  const left = new AbortController();
  response.on('close', () => left.abort());
  const over = containerId === undefined ? AbortSignal.abort() : worker.containers.end(containerId);
  const signal = AbortSignal.any([over, left.signal]);
  const text = Readable.from(readLog(path, { ...query, ...(follow && { follow: signal }) }));
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  try {
    await pipeline(text, response);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A process that could not be started has said nothing; a reader who has left wants no more.
    if (code === 'ENOENT') response.end();
    else if (code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}

async function upgrade(options: KubeletOptions, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const { acceptChannels, attachStatus, exitStatus, serveProcess } = await import('./remote-command.ts');
  const channels = await acceptChannels(request, socket, head);
  if (!channels) return;
  try {
    const target = parseTarget(request.url!);
    const { id } = findRunning(podOf(options, target).view(), target.container);
    const streams = streamQuery(target.query);
    const process = await openProcess(options.runtime, target.verb, id, streams);
    await serveProcess(channels, process, streams, target.verb === 'attach' ? attachStatus : exitStatus);
  } catch (error) {
    channels.fail(textOf(error));
  }
}

function openProcess(runtime: Runtime, verb: string, id: string, streams: ReturnType<typeof streamQuery>) {
  if (verb === 'attach' && runtime.attach) return runtime.attach(id);
  if (verb !== 'exec') throw failure(404, 'NotFound', `${verb} is not served by this node`);
  if (streams.command.length === 0) throw failure(400, 'BadRequest', 'you must specify at least 1 command');
  const { command, tty, stdin } = streams;
  return runtime.exec(id, { command, tty, stdin });
}
