// Program agnhost: `connect` tries to reach a port and says in one word what came of it. Exit code 0 or 1.
import { createSocket } from 'node:dgram';
import { connect as connectTo, isIPv6 } from 'node:net';
import { parseDuration, parseFlags } from './flags.ts';
import { resolveAddress, splitHostPort } from './resolve.ts';
import { errorText, hostPort } from './words.ts';

function give(word: string): never {
  process.stderr.write(`${word}\n`);
  process.exit(1);
}

export async function connect(args: string[]): Promise<void> {
  const { flags, rest } = parseFlags(args, { timeout: '0', protocol: 'tcp', 'udp-data': 'hostname' });
  if (rest.length !== 1) give(`Error: accepts 1 arg(s), received ${rest.length}`);
  const timeout = parseDuration(flags.timeout);
  if (timeout === undefined) give(`Error: invalid argument "${flags.timeout}" for "--timeout" flag`);
  const { protocol } = flags;
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== '') give('Unsupported protocol');
  const target = await locate(rest[0]!, protocol);
  if (protocol === 'udp') connectUdp(target, timeout, flags['udp-data']);
  else connectTcp(target, timeout);
}

async function locate(destination: string, protocol: string): Promise<{ ip: string; port: number }> {
  let parts: { host: string; port: string };
  try {
    parts = splitHostPort(destination);
  } catch (error) {
    give(`${protocol === 'udp' ? 'DNS' : 'UNKNOWN'}: ${(error as Error).message}`);
  }
  try {
    return await resolveAddress(parts.host, parts.port, protocol || 'tcp');
  } catch (error) {
    give(`DNS: ${(error as Error).message}`);
  }
}

function connectTcp({ ip, port }: { ip: string; port: number }, timeout: number): void {
  const socket = connectTo({ host: ip, port });
  if (timeout > 0) setTimeout(() => give('TIMEOUT'), timeout);
  socket.once('connect', () => process.exit(0));
  socket.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ETIMEDOUT') give('TIMEOUT');
    if (error.code === 'ECONNREFUSED') give('REFUSED');
    give(`OTHER: dial tcp ${hostPort(ip, port)}: connect: ${errorText(error)}`);
  });
}

function connectUdp({ ip, port }: { ip: string; port: number }, timeout: number, data: string): void {
  const socket = createSocket(isIPv6(ip) ? 'udp6' : 'udp4');
  const between = () => {
    const { address, port: ours } = socket.address();
    return `udp ${hostPort(address, ours)}->${hostPort(ip, port)}`;
  };
  socket.on('error', (error: NodeJS.ErrnoException) => {
    const word = error.code === 'ECONNREFUSED' ? 'REFUSED' : 'UNKNOWN';
    give(`${word}: read ${between()}: read: ${errorText(error)}`);
  });
  socket.once('message', (message) => {
    if (message.length > 0) process.exit(0);
    give('OTHER: No data received from the server. Cannot guarantee the server received the request.');
  });
  // A connected socket is told of ICMP errors.
  socket.connect(port, ip, () => {
    if (timeout > 0) setTimeout(() => give(`TIMEOUT: read ${between()}: i/o timeout`), timeout);
    socket.send(`${data}\n`);
  });
}
