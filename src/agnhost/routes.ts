// Program agnhost: netexec's HTTP paths.
import { spawn } from 'node:child_process';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { parseDuration } from './flags.ts';
import { goJson, hostPort, log, name } from './words.ts';

export interface NetexecState {
  udpReady: boolean;
  /** SIGTERM has come. */
  terminating: boolean;
  /** Exit code, and milliseconds that connections get to end. */
  shutdown(code: number, timeout: number): void;
}

interface Answer {
  readonly code?: number;
  readonly text: string;
  readonly headers?: Record<string, string>;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly state: NetexecState;
  /** Of the query or a posted form; empty when absent. */
  form(key: string): string;
  readonly query: URLSearchParams;
}

type Handler = (exchange: Exchange) => Answer | Promise<Answer>;

const started = performance.now();
const INTEGER = /^[+-]?\d+$/;

const hostName: Handler = ({ request }) => {
  log(`GET ${request.url?.split('?')[0]}`);
  return { text: name };
};

const HANDLERS: Record<string, Handler> = {
  '/clientip': ({ request }) => {
    log('GET /clientip');
    return { text: hostPort(request.socket.remoteAddress, request.socket.remotePort) };
  },
  '/header': header,
  '/dial': async ({ query }) => {
    const asked = ['host', 'protocol', 'port', 'request', 'tries'].map((key) => `${key}=${query.get(key) ?? ''}`);
    log(`GET /dial?${asked.join('&')}`);
    return (await import('./dial.ts')).dial(query);
  },
  '/echo': ({ form }) => {
    const code = form('code');
    log(`GET /echo?msg=${form('msg')}&code=${code}`);
    if (code !== '' && !INTEGER.test(code))
      return { text: `argument 'code' must be an integer or empty, got "${code}"\n` };
    return { text: form('msg'), ...(code === '' ? {} : { code: Number(code) }) };
  },
  '/exit': exit,
  '/healthz': ({ state }) => {
    log('GET /healthz');
    return { code: state.udpReady ? 200 : 412, text: '' };
  },
  '/readyz': ({ state }) => {
    log('GET /readyz');
    if (state.terminating) return { code: 503, text: 'shutting down' };
    return state.udpReady ? { text: 'ok' } : { code: 412, text: '' };
  },
  '/hostname': hostName,
  '/hostName': hostName,
  '/redirect': redirect,
  '/shell': shell,
  '/shutdown': () => {
    log('GET /shutdown');
    process.exit(0);
  },
};

export async function handle(request: IncomingMessage, response: ServerResponse, state: NetexecState): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://agnhost');
  const posted = await readForm(request);
  const form = (key: string) => posted.get(key) ?? url.searchParams.get(key) ?? '';
  const handler = HANDLERS[url.pathname] ?? root;
  const answer = await handler({ request, state, form, query: url.searchParams });
  const type = { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(answer.text) };
  response.writeHead(answer.code ?? 200, { ...(answer.text === '' ? {} : type), ...answer.headers });
  response.end(request.method === 'HEAD' ? undefined : answer.text);
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  if (!request.headers['content-type']?.startsWith('application/x-www-form-urlencoded')) return new URLSearchParams();
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return new URLSearchParams(text);
}

/** The time as Go prints it, with its monotonic clock. */
function root(): Answer {
  log('GET /');
  const now = new Date().toISOString().replace('T', ' ').replace('Z', '');
  return { text: `NOW: ${now} +0000 UTC m=+${((performance.now() - started) / 1000).toFixed(9)}` };
}

function header({ request, form }: Exchange): Answer {
  const key = form('key');
  log(key === '' ? 'GET /header' : `GET /header?key=${key}`);
  if (key !== '') return { text: String(request.headers[key.toLowerCase()] ?? '') };
  const canonical: Record<string, string[]> = {};
  for (const [lower, values] of Object.entries(request.headersDistinct).sort()) {
    // net/http keeps the host apart from the headers.
    if (lower !== 'host') canonical[lower.replace(/(^|-)[a-z]/g, (char) => char.toUpperCase())] = values!;
  }
  return { text: goJson(canonical) };
}

async function exit({ form, state }: Exchange): Promise<Answer> {
  const [code, timeoutText, waitText] = [form('code'), form('timeout'), form('wait')];
  log(`GET /exit?code=${code}&timeout=${timeoutText}&wait=${waitText}`);
  const timeout = parseDuration(timeoutText || '0');
  const wait = parseDuration(waitText || '0');
  const duration = (field: string, got: string): Answer => ({
    text: `argument '${field}' must be a valid golang duration or empty, got "${got}"\n`,
  });
  if (timeout === undefined) return duration('timeout', timeoutText);
  if (wait === undefined) return duration('wait', waitText);
  if (code !== '' && !INTEGER.test(code)) {
    return { text: `argument 'code' must be an integer [0-127] or empty, got "${code}"\n` };
  }
  await new Promise((resolve) => setTimeout(resolve, wait));
  if (timeout === 0) process.exit(Number(code));
  state.shutdown(Number(code), timeout);
  return { text: '' };
}

function redirect({ request, form }: Exchange): Answer {
  const [location, codeText] = [form('location'), form('code')];
  log(`${request.method} /redirect?msg=${location}&code=${codeText}`);
  if (codeText !== '' && !INTEGER.test(codeText)) {
    return { text: `argument 'code' must be an integer or empty, got "${codeText}"\n` };
  }
  const code = codeText === '' ? 302 : Number(codeText);
  const text = `<a href="${location.replaceAll('&', '&amp;')}">${STATUS_CODES[code] ?? ''}</a>.\n\n`;
  return { code, text, headers: { Location: location, 'Content-Type': 'text/html; charset=utf-8' } };
}

async function shell({ form }: Exchange): Promise<Answer> {
  const command = form('shellCommand') || form('cmd');
  log(`GET /shell?cmd=${command}`);
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const error = await new Promise<string>((resolve) => {
    child.once('error', ({ message }) => resolve(message));
    child.once('close', (code, signal) =>
      resolve(signal ? `signal: ${signal}` : code === 0 ? '' : `exit status ${code}`),
    );
  });
  return { text: goJson({ ...(error === '' ? {} : { error }), ...(output === '' ? {} : { output }) }) };
}
