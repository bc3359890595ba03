// Program agnhost: `serve-hostname` answers everything with the hostname, over HTTP, or plain TCP and UDP.
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { parseFlags } from './flags.ts';
import { serveUdp } from './udp.ts';
import { fatal, hostPort, log, name } from './words.ts';

export function serveHostname(args: string[]): void {
  const { flags } = parseFlags(args, { tcp: false, udp: false, http: true, close: false, port: 9376 });
  const { port } = flags;
  if (flags.http && (flags.tcp || flags.udp)) fatal("Can't server TCP/UDP mode and HTTP mode at the same time");
  const failed = (error: Error) => fatal(`Error from net.Listen(): ${error.message}`);
  if (flags.tcp) {
    const server = createTcpServer((socket) => {
      log(`TCP request from ${hostPort(socket.remoteAddress, socket.remotePort)}`);
      socket.on('error', () => {}).end(name);
    });
    server.once('error', failed).listen(port);
  }
  if (flags.udp) {
    const answer = (_: string, client: string) => {
      log(`UDP request from ${client}`);
      return name;
    };
    serveUdp({ port, answer, ready: () => {} });
  }
  if (flags.http) {
    const server = createServer((request, response) => {
      log(`HTTP request from ${hostPort(request.socket.remoteAddress, request.socket.remotePort)}`);
      if (flags.close) response.setHeader('Connection', 'close');
      response.setHeader('Content-Type', 'text/plain; charset=utf-8').end(name);
    });
    server.once('error', failed).listen(port);
  }
  log(`Serving on port ${port}.`);
  process.once('SIGTERM', () => {
    log('Shutting down after receiving signal: terminated.');
    log('Awaiting pod deletion.');
    // It goes on serving, so that clients that do not know yet are not turned away.
    setTimeout(() => process.exit(0), 60_000);
  });
}
