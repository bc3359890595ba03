// Flows that live long: an echo server and a client that never lets go of a connection, each a function whose text runs in a pod.
import { AGNHOST_NODE } from '../../src/runtime/images/builtin.ts';

export interface Flow {
  /** Messages that came back, in order and unchanged. */
  echoed: number;
  /** Resets, ends, wrong bytes, datagrams that nobody answered. */
  readonly errors: string[];
}

export const TCP_PORT = 9000;
export const UDP_PORT = 9001;

/** The command line of a function of this file; it may use nothing outside itself. For a pod of image podwire.io/agnhost, which has a node. */
export function command(program: (...words: string[]) => void, ...words: readonly (string | number)[]): string[] {
  return [AGNHOST_NODE, '-e', `(${program})(...${JSON.stringify(words.map(String))})`];
}

/** Echoes TCP and UDP, and answers HTTP GET / as well, so that a readiness probe can ask. */
export function echoServer(tcpPort: string, udpPort: string): void {
  const { createServer } = process.getBuiltinModule('node:net');
  const { createSocket } = process.getBuiltinModule('node:dgram');
  createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(Number(tcpPort));
  const udp = createSocket('udp4');
  udp.on('message', (message, from) => udp.send(message, from.port, from.address));
  udp.bind(Number(udpPort));
  process.on('SIGTERM', () => process.exit());
}

/** One flow for each word `tcp:10.0.0.1:80` or `udp:…`: every 20 ms a message; tells the counts in a line of JSON every 100 ms. */
export function flowClient(...targets: string[]): void {
  const { connect } = process.getBuiltinModule('node:net');
  const { createSocket } = process.getBuiltinModule('node:dgram');
  const flows = Object.fromEntries(targets.map((target) => [target, { echoed: 0, errors: [] as string[] }]));
  for (const target of targets) {
    const [protocol, host, port] = target.split(':') as [string, string, string];
    const flow = flows[target]!;
    if (protocol === 'tcp') overTcp(flow, host, Number(port));
    else overUdp(flow, host, Number(port));
  }
  setInterval(() => console.log(JSON.stringify(flows)), 100);

  function overTcp(flow: { echoed: number; errors: string[] }, host: string, port: number): void {
    let expected = '';
    let sent = 0;
    const socket = connect(port, host, () => {
      setInterval(() => {
        const line = `message ${sent++} over one connection\n`;
        expected += line;
        if (!socket.destroyed) socket.write(line);
      }, 20);
    });
    socket.setEncoding('latin1').on('data', (text) => {
      if (!expected.startsWith(String(text))) flow.errors.push('other bytes came back than were sent');
      expected = expected.slice(text.length);
      flow.echoed += String(text).split('\n').length - 1;
    });
    socket.on('error', (error) => flow.errors.push(error.message));
    socket.on('close', () => flow.errors.push('closed'));
  }

  function overUdp(flow: { echoed: number; errors: string[] }, host: string, port: number): void {
    const waiting = new Map<string, number>();
    let sent = 0;
    const socket = createSocket('udp4');
    socket.on('error', (error) => flow.errors.push(error.message));
    socket.on('message', (message) => {
      if (waiting.delete(message.toString())) flow.echoed++;
    });
    // Connected, so that a refusal (ICMP) is heard, and one source port is one flow.
    socket.connect(port, host, () => {
      setInterval(() => {
        for (const [name, since] of waiting) {
          if (Date.now() - since < 3000) continue;
          waiting.delete(name);
          flow.errors.push(`datagram ${name} was not answered`);
        }
        waiting.set(String(sent), Date.now());
        socket.send(String(sent++));
      }, 20);
    });
  }
}
