// Room dns: the server's TCP side: for answers that did not fit, and for who prefers it.
import { createServer, type Socket } from 'node:net';
import { familyOf, type IP } from '../addr/ip.ts';
import { listenOn, openSocket } from '../sys/socket.ts';
import type { Listener } from './listener.ts';
import type { Respond } from './respond.ts';
import { Frames, frame } from './tcp-frames.ts';

/** Milliseconds without a question until a connection is closed (RFC 7766 section 6.2.3). */
const IDLE = 10_000;
const MAX_CONNECTIONS = 500;

/** As listenUdp. */
export function listenTcp(ip: IP, port: number, respond: Respond): Listener {
  const fd = listenOn(openSocket(familyOf(ip) === 6 ? 'inet6' : 'inet', 'stream'), ip, port, { freeBind: true });
  const connections = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
    serve(socket, respond);
  });
  server.maxConnections = MAX_CONNECTIONS;
  // A connection that could not be accepted is the client's to try again.
  server.on('error', () => {});
  server.listen({ fd });
  return {
    port,
    close() {
      server.close();
      for (const socket of connections) socket.destroy();
    },
  };
}

function serve(socket: Socket, respond: Respond): void {
  const send = (answer: Buffer) => {
    if (socket.writable) socket.write(frame(answer));
  };
  const client = { ip: socket.remoteAddress ?? '0.0.0.0', port: socket.remotePort ?? 0 };
  const frames = new Frames((packet) => {
    const answer = respond(packet, 'tcp', client);
    if (answer instanceof Promise) void answer.then(send);
    else if (answer) send(answer);
    else socket.destroy();
  });
  socket.setTimeout(IDLE, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => frames.push(chunk));
}
