// Room dns: the server's UDP side. All packet I/O over UDP is in this file, so that a faster way can take its place.
import { createSocket } from 'node:dgram';
import { closeSync } from 'node:fs';
import { familyOf, type IP } from '../addr/ip.ts';
import { bindSocket, openSocket } from '../sys/socket.ts';
import type { Listener } from './listener.ts';
import type { Respond } from './respond.ts';
import { noLookup } from './upstream-socket.ts';

/** Bytes: a burst of some thousand questions while the thread is busy elsewhere. */
const RECEIVE_BUFFER = 1 << 20;

/**
 * Answers on `ip` in the calling thread's network namespace, whether or not the address is there yet. Throws a SysError
 * (EADDRINUSE …). Answers leave with the address that was asked, as the socket is bound to it.
 */
export function listenUdp(ip: IP, port: number, respond: Respond): Listener {
  const v6 = familyOf(ip) === 6;
  const fd = openSocket(v6 ? 'inet6' : 'inet', 'dgram');
  try {
    bindSocket(fd, ip, port, { freeBind: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: noLookup, recvBufferSize: RECEIVE_BUFFER });
  let closed = false;
  // An answer that cannot be sent is lost as any datagram may be.
  socket.on('error', () => {});
  socket.on('message', (packet, from) => {
    const send = (answer: Buffer) => {
      if (!closed) socket.send(answer, from.port, from.address, () => {});
    };
    const answer = respond(packet, 'udp');
    if (answer instanceof Promise) void answer.then(send);
    else if (answer) send(answer);
  });
  socket.bind({ fd, exclusive: true });
  return {
    port: socket.address().port,
    close() {
      closed = true;
      socket.close();
    },
  };
}
