// Hears datagrams on a port and prints each name that it has not heard before: `node hear.mjs PORT`.
import { createSocket } from 'node:dgram';

const heard = new Set();
const socket = createSocket('udp4');
socket.on('message', (data) => {
  const name = String(data).trim();
  if (heard.has(name)) return;
  heard.add(name);
  process.stdout.write(`${name}\n`);
});
socket.bind(Number(process.argv[2]), '0.0.0.0', () => process.stdout.write('hearing\n'));
