// A pod of the packet tables: answers on ports 80 and 81 over TCP and UDP, and asks others, many at once.
import { createSocket, type Socket } from 'node:dgram';
import { connect, createServer, type Socket as TcpSocket } from 'node:net';

export interface Question {
  readonly host: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  /** How long to wait for an answer, in milliseconds. */
  readonly patience: number;
}

export type PeerCommand =
  | { readonly op: 'serve'; readonly ports: readonly number[] }
  /** For each question whether it was answered. */
  | { readonly op: 'ask'; readonly questions: readonly Question[] }
  /** Opens a connection and keeps it; `talk` says whether it still carries a word there and back. */
  | { readonly op: 'open'; readonly host: string; readonly port: number }
  | { readonly op: 'talk'; readonly patience: number }
  /** New connections and datagrams without a pause, each from a socket of its own; tells of each of them. */
  | {
      readonly op: 'press';
      readonly targets: readonly Question[];
      readonly perSecond: number;
      readonly seconds: number;
    };

/** When it began and ended, on the clock that all processes of the machine share (ms), and whether it was answered. */
export type Attempt = readonly [target: number, began: number, ended: number, answered: boolean];

const held: Socket[] = [];
let kept: TcpSocket | undefined;

async function run(command: PeerCommand): Promise<unknown> {
  switch (command.op) {
    case 'serve':
      await Promise.all(
        command.ports.flatMap((port) => [serveTcp(port), serveUdp(port, '::'), serveUdp(port, '0.0.0.0')]),
      );
      return undefined;
    case 'ask':
      return Promise.all(command.questions.map((each) => (each.protocol === 'TCP' ? askTcp(each) : askUdp(each))));
    case 'open':
      return open(command.host, command.port);
    case 'talk':
      return talk(command.patience);
    case 'press':
      return press(command.targets, command.perSecond, command.seconds);
  }
}

function serveTcp(port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => socket.write(data));
  });
  return new Promise((resolve, reject) => server.on('error', reject).listen(port, '::', resolve));
}

function serveUdp(port: number, host: string): Promise<void> {
  const socket = createSocket({ type: host === '::' ? 'udp6' : 'udp4', ipv6Only: host === '::' });
  held.push(socket);
  socket.on('message', (data, { port: to, address }) => socket.send(data, to, address, () => {}));
  return new Promise((resolve, reject) => socket.on('error', reject).bind(port, host, resolve));
}

function askTcp({ host, port, patience }: Question, localPort?: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, ...(localPort && { localPort }) });
    const done = (answered: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    };
    // After a pause of our own the timer comes before what has arrived long since.
    const timer = setTimeout(() => setImmediate(done, false), patience);
    socket.on('connect', () => socket.write('?'));
    socket.on('data', () => done(true));
    socket.on('error', () => done(false));
  });
}

/** A question may be lost where nobody forbids it: it is asked again until the patience is at its end. */
function askUdp({ host, port, patience }: Question, localPort?: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const done = (answered: boolean) => {
      clearTimeout(timer);
      clearInterval(again);
      socket.close();
      resolve(answered);
    };
    const ask = () => socket.send('?', port, host, () => {});
    const timer = setTimeout(done, patience, false);
    const again = setInterval(ask, 500);
    socket.on('message', () => done(true));
    socket.on('error', () => {});
    socket.bind(localPort ?? 0, ask);
  });
}

function open(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    kept = connect({ host, port }, resolve);
    kept.on('error', reject);
  });
}

function talk(patience: number): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (answered: boolean) => {
      clearTimeout(timer);
      kept?.removeAllListeners('data');
      resolve(answered);
    };
    const timer = setTimeout(done, patience, false);
    kept?.on('data', () => done(true));
    kept?.write('?');
  });
}

const TICK_MS = 10;
/** Each attempt has a port of its own, below those that the kernel gives: one that was used before would be a connection that is there. */
const FIRST_PORT = 10_000;

export function sharedClock(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

async function press(targets: readonly Question[], perSecond: number, seconds: number): Promise<Attempt[]> {
  const attempts: Promise<Attempt>[] = [];
  const begin = sharedClock();
  for (let now = begin; now < begin + seconds * 1000; now = sharedClock()) {
    const due = Math.floor(((now - begin) / 1000) * perSecond);
    while (attempts.length < due) attempts.push(attempt(targets, attempts.length));
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  return Promise.all(attempts);
}

async function attempt(targets: readonly Question[], index: number): Promise<Attempt> {
  const target = index % targets.length;
  const question = targets[target]!;
  const began = sharedClock();
  const answered = await (question.protocol === 'TCP' ? askTcp : askUdp)(question, FIRST_PORT + index);
  return [target, began, sharedClock(), answered];
}

process.on('message', ({ id, command }: { id: number; command: PeerCommand }) => {
  run(command).then(
    (result) => process.send!({ id, result }),
    (error: unknown) => process.send!({ id, error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
process.send!({ id: 0 });
