// Room dns: the server's UDP side by Node's own sockets, one datagram at a time: where the machine has no calls for more.
import { createSocket } from 'node:dgram';
import type { Listener } from './listener.ts';
import type { Respond } from './respond.ts';
import { noLookup } from './upstream-socket.ts';

/** `fd` is bound, and the listener's from now on. */
export function serveDgram(fd: number, v6: boolean, respond: Respond): Listener {
  const socket = createSocket({ type: v6 ? 'udp6' : 'udp4', lookup: noLookup });
  let closed = false;
  // An answer that cannot be sent is lost as any datagram may be.
  socket.on('error', () => {});
  socket.on('message', (packet, from) => {
    const send = (answer: Buffer) => {
      if (!closed) socket.send(answer, from.port, from.address, () => {});
    };
    const answer = respond(packet, 'udp', { ip: from.address, port: from.port });
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
