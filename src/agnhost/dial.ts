// Program agnhost: netexec's /dial: asks another netexec, over HTTP or UDP, and tells what it said.
import { createSocket } from 'node:dgram';
import { Agent, get } from 'node:http';
import { isIPv6 } from 'node:net';
import { resolveAddress } from './resolve.ts';
import { errorText, goJson, hostPort } from './words.ts';

const TIMEOUT_MS = 5000;

interface Destination {
  readonly ip: string;
  readonly port: number;
}

export interface DialAnswer {
  readonly code: number;
  readonly text: string;
}

const refuse = (text: string): DialAnswer => ({ code: 400, text: `${text}\n` });

export async function dial(query: URLSearchParams): Promise<DialAnswer> {
  const parameter = (key: string) => query.get(key) ?? '';
  const tries = parameter('tries') || '1';
  const request = parameter('request');
  if (!/^[+-]?\d+$/.test(tries)) {
    return refuse(`tries parameter is invalid. strconv.Atoi: parsing "${tries}": invalid syntax`);
  }
  if (request === '') return refuse('request parameter not specified. <nil>');
  const protocol = parameter('protocol').toLowerCase() || 'http';
  if (protocol !== 'http' && protocol !== 'udp') return refuse(`unsupported protocol. ${parameter('protocol')}`);
  let destination: Destination;
  try {
    destination = await resolveAddress(parameter('host'), parameter('port'), protocol === 'udp' ? 'udp' : 'tcp');
  } catch (error) {
    return refuse(`host and/or port param are invalid. ${(error as Error).message}`);
  }
  return {
    code: 200,
    text: goJson(await repeat(protocol === 'udp' ? dialUdp : dialHttp, request, destination, Number(tries))),
  };
}

/** In the order in which Go writes a map; `responses` only when the last one succeeded with something to say. */
async function repeat(
  dialer: (request: string, to: Destination) => Promise<string>,
  request: string,
  to: Destination,
  tries: number,
): Promise<Record<string, string[]>> {
  const errors: string[] = [];
  const responses: string[] = [];
  let last = '';
  for (let i = 0; i < tries; i++) {
    try {
      last = await dialer(request, to);
      responses.push(last);
    } catch (error) {
      last = '';
      errors.push((error as Error).message);
    }
  }
  return { ...(errors.length > 0 ? { errors } : {}), ...(last === '' ? {} : { responses }) };
}

function dialHttp(path: string, { ip, port }: Destination): Promise<string> {
  const url = `http://${hostPort(ip, port)}/${path}`;
  // Each try is a connection of its own, so that each is balanced anew.
  const agent = new Agent({ keepAlive: false });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const failed = (error: NodeJS.ErrnoException) => {
    const why = signal.aborted
      ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
      : `dial tcp ${hostPort(ip, port)}: connect: ${errorText(error)}`;
    reject(new Error(`Get "${url}": ${why}`));
  };
  const request = get(url, { agent, signal }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    response.once('end', () => resolve(body)).once('error', failed);
  });
  request.once('error', failed);
  return promise;
}

function dialUdp(request: string, { ip, port }: Destination): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = createSocket(isIPv6(ip) ? 'udp6' : 'udp4');
  const failed = (what: string) => {
    const { address, port: ours } = socket.address();
    const between = `udp ${hostPort(address, ours)}->${hostPort(ip, port)}`;
    reject(new Error(`reading from udp connection failed. err:'read ${between}: ${what}'`));
  };
  const timer = setTimeout(() => failed('i/o timeout'), TIMEOUT_MS);
  socket.once('error', (error) => failed(`read: ${errorText(error)}`));
  socket.once('message', (message) => resolve(message.toString()));
  socket.connect(port, ip, () => socket.send(request));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}
