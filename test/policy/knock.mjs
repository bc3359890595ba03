// Asks one address and port over TCP, once, and says whether it was answered: `node knock.mjs HOST PORT`.
import { connect } from 'node:net';

const [host, port] = process.argv.slice(2);
const socket = connect({ host, port: Number(port) });
socket.setTimeout(20_000, () => socket.destroy(new Error('no answer')));
socket.on('connect', () => socket.write('?'));
socket.on('data', () => {
  process.stdout.write('answered');
  socket.destroy();
});
socket.on('error', ({ message }) => process.stdout.write(message));
