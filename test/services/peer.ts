// A process inside a namespace for the tests of Services: serves who it is and whom it sees, asks others, over TCP and UDP.
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

export type Protocol = 'tcp' | 'udp';

export type Command =
  | {
      readonly op: 'serve';
      readonly protocol: Protocol;
      readonly host: string;
      readonly port: number;
      readonly name: string;
      /** UDP alone: takes what comes and answers nothing. */
      readonly silent?: boolean;
      /** TCP alone: stays open, and says its name to every line. */
      readonly stays?: boolean;
    }
  /** How many datagrams the silent server of that address and port has taken. */
  | { readonly op: 'received'; readonly host: string; readonly port: number }
  /** Sends datagrams from one port, without waiting for anything, until `stop`. */
  | { readonly op: 'send'; readonly host: string; readonly port: number; readonly from: number }
  /** `from`: the local port, for a client that keeps its UDP flow. */
  | {
      readonly op: 'ask';
      readonly protocol: Protocol;
      readonly host: string;
      readonly port: number;
      readonly from?: number;
      readonly bind?: string;
      /** Milliseconds to wait for an answer, where none is expected. */
      readonly timeout?: number;
      /** A UDP socket that names its destination with the datagram; the answer is followed by who sent it. */
      readonly unconnected?: boolean;
    }
  /** Connects, reads to the end, again and again, until `stop`. */
  | { readonly op: 'load'; readonly host: string; readonly port: number }
  /**
   * Sends so many datagrams from one unconnected socket, each after the answer to the one before; without a count until `stop`, and one
   * more. Resolves with the answers.
   */
  | { readonly op: 'datagrams'; readonly host: string; readonly port: number; readonly count?: number }
  /** A connected socket that stays open under a name of its own; resolves as `say` does. */
  | {
      readonly op: 'open';
      readonly id: string;
      readonly protocol: Protocol;
      readonly host: string;
      readonly port: number;
    }
  /** One line over that socket; resolves with the answer, or the code of what went wrong. */
  | { readonly op: 'say'; readonly id: string }
  | { readonly op: 'stop' };

export interface Load {
  readonly answered: number;
  readonly failed: string[];
}

const TIMEOUT_MS = 20_000;
const RESEND_MS = 3000;
let stopped = false;

async function run(command: Command): Promise<unknown> {
  switch (command.op) {
    case 'serve':
      return command.protocol === 'tcp' ? serveTcp(command) : serveUdp(command);
    case 'ask':
      return command.protocol === 'tcp' ? askTcp(command) : askUdp(command);
    case 'load':
      return load(command.host, command.port);
    case 'received':
      return received.get(`${command.host} ${command.port}`) ?? 0;
    case 'send':
      return send(command.host, command.port, command.from);
    case 'datagrams':
      return datagrams(command);
    case 'open':
      return open(command);
    case 'say':
      return say.get(command.id)!();
    case 'stop':
      stopped = true;
      return undefined;
  }
}

type Serve = Extract<Command, { op: 'serve' }>;
type Ask = Extract<Command, { op: 'ask' }>;

function serveTcp({ host, port, name, stays }: Serve): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    if (stays) socket.on('data', () => socket.write(`${name} ${socket.remoteAddress}`));
    else socket.end(`${name} ${socket.remoteAddress}`);
  });
  return new Promise((resolve, reject) => server.on('error', reject).listen(port, host, resolve));
}

const received = new Map<string, number>();

function serveUdp({ host, port, name, silent }: Serve): Promise<void> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (_, from) => {
    const key = `${host} ${port}`;
    received.set(key, (received.get(key) ?? 0) + 1);
    if (!silent) socket.send(`${name} ${from.address}`, from.port, from.address);
  });
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.bind(port, host, resolve);
  });
}

/** The answer, or the code of what went wrong: ECONNREFUSED, ETIMEDOUT. */
function askTcp({
  host,
  port,
  bind,
  timeout = TIMEOUT_MS,
}: Pick<Ask, 'host' | 'port' | 'bind' | 'timeout'>): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host, port, ...(bind !== undefined && { localAddress: bind }) });
    socket.setTimeout(timeout, () => socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('close', () => resolve(text));
  });
}

/** Below the kernel's own, so that nobody else has it. */
let lastPort = 9999;

/** A local port not used before: by chance the kernel may give one whose flow is still tracked, and that goes where it went before. */
function newPort(): number {
  lastPort = lastPort === 29_999 ? 10_000 : lastPort + 1;
  return lastPort;
}

function askUdp({ host, port, from = newPort(), unconnected, timeout = TIMEOUT_MS }: Ask): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const done = (answer: string) => {
      clearTimeout(timer);
      clearInterval(again);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => done('ETIMEDOUT'), timeout);
    const sender = ({ address, port }: { address: string; port: number }) => ` from ${address} ${port}`;
    // A busy machine may lose a datagram: whoever asks over UDP asks again.
    let again: NodeJS.Timeout | undefined;
    const send = () => {
      again ??= setInterval(send, RESEND_MS);
      if (unconnected) socket.send('who?', port, host, failed);
      else socket.send('who?');
    };
    socket.on('message', (data, source) => {
      if (unconnected) done(`${data}${sender(source)}`);
      else done(String(data));
    });
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    const failed = (error: Error | null) => error && done((error as NodeJS.ErrnoException).code ?? error.message);
    // Where sockets are translated, connect() itself may be refused.
    const connected = (error?: Error) => (error ? failed(error) : send());
    if (unconnected) socket.bind(from, () => send());
    // A connected socket is told of ICMP errors.
    else socket.bind(from, () => socket.connect(port, host, connected));
  });
}

const say = new Map<string, () => Promise<string>>();

async function open({ id, protocol, host, port }: Extract<Command, { op: 'open' }>): Promise<string> {
  let heard = Promise.withResolvers<string>();
  const hear = (text: string) => heard.resolve(text);
  const fail = (error: NodeJS.ErrnoException) => hear(error.code ?? error.message);
  const sender = protocol === 'tcp' ? overTcp(host, port, hear, fail) : await overUdp(host, port, hear, fail);
  say.set(id, () => {
    heard = Promise.withResolvers<string>();
    const timer = setTimeout(hear, TIMEOUT_MS, 'ETIMEDOUT');
    sender();
    return heard.promise.finally(() => clearTimeout(timer));
  });
  return say.get(id)!();
}

type Hear = (text: string) => void;
type Fail = (error: NodeJS.ErrnoException) => void;

function overTcp(host: string, port: number, hear: Hear, fail: Fail): () => void {
  const socket = connect({ host, port });
  socket.on('data', (data) => hear(String(data))).on('error', fail);
  socket.on('close', () => hear('closed'));
  return () => void (socket.destroyed ? hear('closed') : socket.write('who?'));
}

async function overUdp(host: string, port: number, hear: Hear, fail: Fail): Promise<() => void> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (data) => hear(String(data))).on('error', fail);
  await new Promise<void>((resolve) => socket.connect(port, host, resolve));
  return () => socket.send('who?', (error) => error && fail(error));
}

function datagrams({ host, port, count }: Extract<Command, { op: 'datagrams' }>): Promise<string[]> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const answers: string[] = [];
  stopped = false;
  let last = count;
  return new Promise((resolve, reject) => {
    const next = () => socket.send('who?', port, host, (error) => error && reject(error));
    socket.on('error', reject);
    socket.on('message', (data) => {
      const received = answers.push(String(data));
      if (stopped) last ??= received + 1;
      if (last !== undefined && received >= last) socket.close(() => resolve(answers));
      else next();
    });
    socket.bind(0, next);
  });
}

async function send(host: string, port: number, from: number): Promise<void> {
  stopped = false;
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', () => {}); // refusals are what the test is about
  await new Promise<void>((resolve) => socket.bind(from, resolve));
  while (!stopped) {
    socket.send('one way', port, host);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  socket.close();
}

async function load(host: string, port: number): Promise<Load> {
  stopped = false;
  let answered = 0;
  const failed: string[] = [];
  const worker = async () => {
    while (!stopped) {
      const answer = await askTcp({ host, port });
      if (answer.includes(' ')) answered++;
      else failed.push(answer);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  return { answered, failed };
}

process.on('message', async ({ id, command }: { id: number; command: Command }) => {
  try {
    process.send!({ id, result: await run(command) });
  } catch (error) {
    process.send!({ id, error: String(error) });
  }
});
process.on('disconnect', () => process.exit());
process.send!({ id: 0 });
