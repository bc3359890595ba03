// Program agnhost: a UDP server that answers each datagram, for IPv4 and IPv6 alike where the machine has both.
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { fatal, hostPort } from './words.ts';

export interface UdpServer {
  readonly address?: string;
  readonly port: number;
  /** Undefined: no answer. */
  answer(text: string, client: string): string | undefined;
  ready(): void;
}

export function serveUdp(server: UdpServer): void {
  const dual = server.address === undefined;
  const socket = createSocket({ type: dual || isIPv6(server.address!) ? 'udp6' : 'udp4', ipv6Only: false });
  const failed = (error: NodeJS.ErrnoException) => {
    if (dual && (error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL')) {
      listen(createSocket('udp4'), server, '0.0.0.0', fail);
    } else fail(error);
  };
  const fail = (error: Error) => fatal(`failed to create listener for UDP port ${server.port}: ${error.message}`);
  listen(socket, server, server.address, failed);
}

function listen(socket: Socket, server: UdpServer, address: string | undefined, failed: (error: Error) => void): void {
  socket.once('error', failed);
  socket.bind({ port: server.port, ...(address === undefined ? {} : { address }) }, () => {
    socket.off('error', failed);
    // An ICMP error of one client is nothing to the others.
    socket.on('error', () => {});
    server.ready();
  });
  socket.on('message', (message, from) => {
    const answer = server.answer(message.toString(), hostPort(from.address, from.port));
    if (answer !== undefined) socket.send(answer, from.port, from.address);
  });
}
