// Room node: one probe or hook of one container: exec, httpGet, tcpSocket or grpc.
import { connect } from 'node:net';
import type { IP } from '../../addr/ip.ts';
import type { ExecProcess } from '../../runtime/runtime.ts';
import type { Container } from '../pod-view.ts';
import { resolveAddress } from './resolve-address.ts';

// An import statement would read every export, and one of them (WebSocket) loads undici: 25 ms for each node's thread.
const { request: httpRequest } = process.getBuiltinModule('node:http');

/** The part that probes and lifecycle hooks have in common. */
export interface Handler {
  readonly exec?: { readonly command?: readonly string[] };
  readonly httpGet?: NonNullable<NonNullable<Container['livenessProbe']>['httpGet']>;
  readonly tcpSocket?: { readonly host?: string; readonly port: number | string };
  readonly grpc?: { readonly port: number; readonly service?: string };
  readonly sleep?: { readonly seconds: number };
}

export interface ProbeTarget {
  readonly container: Container;
  readonly podIP: IP;
  readonly exec: (command: readonly string[]) => Promise<ExecProcess>;
}

export interface ProbeResult {
  readonly ok: boolean;
  /** In the words of the kubelet's Unhealthy events. */
  readonly output: string;
}

/** Never rejects: what cannot be asked has failed. */
export async function probe(handler: Handler, target: ProbeTarget, timeoutMs: number): Promise<ProbeResult> {
  try {
    return await ask(handler, target, timeoutMs);
  } catch (error) {
    return { ok: false, output: error instanceof Error ? error.message : String(error) };
  }
}

async function ask(handler: Handler, target: ProbeTarget, timeoutMs: number): Promise<ProbeResult> {
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  if (exec) return askExec(await target.exec(exec.command ?? []), timeoutMs);
  if (httpGet) return askHttp(httpGet, target, timeoutMs);
  if (tcpSocket) return askTcp(tcpSocket.host || target.podIP, portNumber(tcpSocket.port, target.container), timeoutMs);
  if (grpc) {
    const { askGrpc } = await import('./grpc.ts');
    return askGrpc(target.podIP, grpc.port, grpc.service ?? '', timeoutMs);
  }
  if (sleep) return new Promise((resolve) => setTimeout(resolve, sleep.seconds * 1000, { ok: true, output: '' }));
  return { ok: true, output: '' };
}

/** A number, or the name of one of the container's ports. */
export function portNumber(port: number | string, container: Container): number {
  if (typeof port === 'number') return port;
  const named = container.ports?.find(({ name }) => name === port)?.containerPort ?? Number(port);
  if (Number.isInteger(named)) return named;
  throw new Error(`couldn't find port ${port} of container ${container.name}`);
}

const OUTPUT_BYTES = 10 * 1024;

async function askExec(process: ExecProcess, timeoutMs: number): Promise<ProbeResult> {
  let output = '';
  for (const stream of [process.stdout, process.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      if (output.length < OUTPUT_BYTES) output += chunk.toString();
    });
  }
  // Told by the timer itself, not by a clock: Node's timers may fire a fraction of a millisecond early.
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    process.kill();
  }, timeoutMs);
  const code = await process.exit;
  clearTimeout(timer);
  if (timedOut) return { ok: false, output: `command timed out after ${timeoutMs} ms` };
  return { ok: code === 0, output };
}

async function askHttp(
  get: NonNullable<Handler['httpGet']>,
  { container, podIP }: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeResult> {
  const headers: Record<string, string> = { 'user-agent': 'kube-probe/1.34', accept: '*/*', connection: 'close' };
  for (const { name, value } of get.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  const host = await resolveAddress(get.host || podIP);
  const options = {
    host,
    port: portNumber(get.port, container),
    path: get.path ? get.path.replace(/^(?!\/)/, '/') : '/',
    headers,
    agent: false as const,
    signal: AbortSignal.timeout(timeoutMs),
  };
  const secure = get.scheme === 'HTTPS';
  const request = secure ? (await import('node:https')).request : httpRequest;
  const url = `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${options.port}${options.path}`;
  return new Promise((resolve) => {
    const sent = request({ ...options, ...(secure && { rejectUnauthorized: false }) }, (response) => {
      const code = response.statusCode ?? 0;
      response.destroy();
      const ok = code >= 200 && code < 400;
      resolve({ ok, output: ok ? '' : `HTTP probe failed with statuscode: ${code}` });
    });
    sent.on('error', (error) => resolve({ ok: false, output: `Get "${url}": ${reasonOf(error, timeoutMs)}` }));
    sent.end();
  });
}

function reasonOf(error: Error, timeoutMs: number): string {
  const timedOut = error.name === 'AbortError' || error.name === 'TimeoutError';
  return timedOut ? `no answer within ${timeoutMs} ms` : error.message;
}

async function askTcp(name: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  const host = await resolveAddress(name);
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (ok: boolean, output: string) => {
      socket.destroy();
      resolve({ ok, output });
    };
    socket.setTimeout(timeoutMs, () => finish(false, `dial tcp ${host}:${port}: no answer within ${timeoutMs} ms`));
    socket.on('connect', () => finish(true, ''));
    socket.on('error', (error) => finish(false, `dial tcp ${host}:${port}: ${error.message}`));
  });
}
