// Program agnhost: `porter` serves the value of SERVE_PORT_<n> (and _TCP_, _TLS_, _UDP_) on port n.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { parseFlags } from './flags.ts';
import { serveUdp } from './udp.ts';
import { goJson, log } from './words.ts';

export async function porter(args: string[]): Promise<void> {
  const { flags } = parseFlags(args, { 'json-response': false });
  for (const [key, value = ''] of Object.entries(process.env)) {
    const match = /^SERVE_(?:(TCP|UDP|TLS)_)?PORT_(\d+)$/.exec(key);
    if (!match) continue;
    const port = Number(match[2]);
    const failed = (error: Error) => log(`server on port "${port}" failed: ${error.message}`);
    const handler = answer(value, flags['json-response']);
    if (match[1] === 'UDP') {
      const ready = () => log(`Started UDP server on port ${port}`);
      serveUdp({ address: '0.0.0.0', port, answer: () => value, ready });
    } else if (match[1] === 'TLS') {
      const https = await import('node:https');
      https.createServer(keyPair(), handler).once('error', failed).listen(port, '0.0.0.0');
    } else createServer(handler).once('error', failed).listen(port, '0.0.0.0');
  }
  process.once('SIGTERM', () => process.exit(0));
  setInterval(() => {}, 0x7fffffff);
}

function keyPair(): { cert: Buffer; key: Buffer } {
  return {
    cert: readFileSync(process.env['CERT_FILE'] || 'localhost.crt'),
    key: readFileSync(process.env['KEY_FILE'] || 'localhost.key'),
  };
}

function answer(value: string, json: boolean): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    response.setHeader('Content-Type', json ? 'application/json' : 'text/plain; charset=utf-8');
    response.end(json ? goJson({ Method: request.method, Body: value }) : value);
  };
}
