// Program agnhost: `netexec` answers over HTTP(S) and UDP who asked whom, and does as it is told.
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { parseFlags } from './flags.ts';
import { handle, type NetexecState } from './routes.ts';
import { serveUdp } from './udp.ts';
import { fatal, log, name } from './words.ts';

const DEFAULTS = {
  'http-port': 8080,
  'tls-cert-file': '',
  'tls-private-key-file': '',
  'udp-port': 8081,
  'sctp-port': -1,
  'http-override': '',
  'udp-listen-addresses': '',
  'delay-shutdown': 0,
};

export async function netexec(args: string[]): Promise<void> {
  const { flags } = parseFlags(args, DEFAULTS);
  if (flags['sctp-port'] !== -1) fatal('SCTP is not supported by this agnhost');
  const state: NetexecState = { udpReady: false, terminating: false, shutdown: () => {} };
  const override = flags['http-override'];
  const listener: RequestListener = (request, response) => {
    if (override !== '') Object.assign(request, { url: override, method: 'GET' });
    void handle(request, response, state);
  };
  const server: Server = flags['tls-cert-file'] === '' ? createServer(listener) : await secure(listener, flags);
  state.shutdown = (code, timeout) => shutDown(server, code, timeout);
  process.once('SIGTERM', () => {
    state.terminating = true;
    const seconds = flags['delay-shutdown'];
    if (seconds > 0) log(`Sleeping ${seconds} seconds before terminating...`);
    setTimeout(() => process.exit(0), seconds * 1000);
  });
  const port = flags['http-port'];
  server.once('error', (error) => fatal(`listen tcp :${port}: ${error.message}`));
  server.listen(port, () => log(`Started HTTP server on port ${port}`));
  if (flags['udp-port'] !== -1) startUdp(flags['udp-port'], flags['udp-listen-addresses'], state);
}

async function secure(listener: RequestListener, flags: { 'tls-cert-file': string; 'tls-private-key-file': string }) {
  const https = await import('node:https');
  const pair = { cert: readFileSync(flags['tls-cert-file']), key: readFileSync(flags['tls-private-key-file']) };
  return https.createServer(pair, listener) as Server;
}

/** Connections at rest are closed, those at work are awaited as long as the timeout lets them. */
function shutDown(server: Server, code: number, timeout: number): void {
  const end = (result: string) => {
    log(`Graceful shutdown completed with: ${result}`);
    process.exit(code);
  };
  server.close(() => end('<nil>'));
  setTimeout(() => end('context deadline exceeded'), timeout);
}

function startUdp(port: number, addresses: string, state: NetexecState): void {
  for (const address of new Set(addresses === '' ? [undefined] : addresses.split(','))) {
    serveUdp({
      port,
      ...(address === undefined ? {} : { address }),
      answer: answerUdp,
      ready: () => {
        log(`Started UDP server on port ${address ?? ''} ${port}`);
        state.udpReady = true;
      },
    });
  }
}

function answerUdp(datagram: string, client: string): string | undefined {
  const text = datagram.trim().toLowerCase();
  if (text === 'hostname') {
    log('Sending udp hostName response');
    return name;
  }
  if (text === 'clientip') {
    log(`Sending clientip back to UDP client ${client}`);
    return client;
  }
  if (text.startsWith('echo ')) {
    log(`Echoing ${text.slice(5)} to UDP client ${client}`);
    return text.slice(5);
  }
  if (text.length > 0) log(`Unknown UDP command received from ${client}: ${text}`);
  return undefined;
}
