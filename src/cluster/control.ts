// Room cluster: the daemon's control socket: a unix socket that answers GET /status in JSON.
import { rmSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';

export function serveControl(path: string, status: () => Promise<unknown>): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((_request, response) => {
    status().then(
      (value) => response.end(JSON.stringify(value)),
      (error: Error) => response.writeHead(500).end(JSON.stringify({ error: error.message })),
    );
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

/** Undefined when nobody answers on the socket. */
export function askControl<T>(path: string): Promise<T | undefined> {
  return new Promise((resolve) => {
    const call = request({ socketPath: path, path: '/status', timeout: 10_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(response.statusCode === 200 ? (JSON.parse(text) as T) : undefined));
    });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(undefined));
    call.end();
  });
}
