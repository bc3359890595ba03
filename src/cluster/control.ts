// Room cluster: the daemon's control socket: a unix socket that answers GET /status, and does what is POSTed, in JSON.
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { Fault } from '../observe/fault.ts';

/** By path without its slash. What it returns is the answer; a Fault comes out at the other end as it was. */
export type Verbs = Readonly<Record<string, (body: unknown) => Promise<unknown>>>;

export function serveControl(path: string, status: () => Promise<unknown>, verbs: Verbs = {}): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((incoming, response) => {
    answer(incoming, status, verbs).then(
      (value) => response.end(JSON.stringify(value ?? null)),
      (error: Error) =>
        response
          .writeHead(error instanceof Fault ? 409 : 500)
          .end(JSON.stringify({ error: error.message, ...(error instanceof Fault && { mend: error.mend }) })),
    );
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

async function answer(incoming: IncomingMessage, status: () => Promise<unknown>, verbs: Verbs): Promise<unknown> {
  if (incoming.method !== 'POST') return status();
  const verb = verbs[incoming.url?.slice(1) ?? ''];
  if (!verb) throw new Fault(`the daemon knows no ${incoming.url}: it is of another version`);
  let text = '';
  for await (const chunk of incoming.setEncoding('utf8')) text += chunk;
  return verb(JSON.parse(text));
}

/** Undefined when nobody answers on the socket. */
export async function askControl<T>(path: string): Promise<T | undefined> {
  const answer = await call(path, 'GET', '/status', '', 10_000);
  return answer?.status === 200 ? (JSON.parse(answer.text) as T) : undefined;
}

/** Undefined when nobody answers on the socket. Throws the Fault that the daemon has. */
export async function tellControl<T>(path: string, verb: string, body: unknown): Promise<T | undefined> {
  const answer = await call(path, 'POST', `/${verb}`, JSON.stringify(body), 60_000);
  if (!answer) return undefined;
  if (answer.status === 200) return JSON.parse(answer.text) as T;
  const { error, mend } = JSON.parse(answer.text) as { error: string; mend?: string };
  throw new Fault(error, mend === undefined ? {} : { mend });
}

interface Answer {
  readonly status: number | undefined;
  readonly text: string;
}

function call(
  socketPath: string,
  method: string,
  path: string,
  body: string,
  timeout: number,
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const outgoing = request({ socketPath, method, path, timeout }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode, text }));
    });
    outgoing.on('timeout', () => outgoing.destroy());
    outgoing.on('error', () => resolve(undefined));
    outgoing.end(body);
  });
}
