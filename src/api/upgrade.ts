// Room api: refusing to change the protocol of a connection.
import type { Duplex } from 'node:stream';
import type { Status } from '../objects/status.ts';

/** Before the protocol has changed, a refusal is a plain HTTP answer. */
export function refuseUpgrade(socket: Duplex, status: Status): void {
  const text = JSON.stringify(status);
  const head = [
    `HTTP/1.1 ${status.code} ${status.reason ?? 'Error'}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(text)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`);
}
