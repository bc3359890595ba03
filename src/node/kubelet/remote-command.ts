// Room node: a process's stdio over one WebSocket, as kubectl exec, attach and cp speak it (v5.channel.k8s.io, KEP-4006).
import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import type { ExecProcess } from '../../runtime/runtime.ts';
import type { StreamQuery } from './query.ts';

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;
/** v5 alone: the next byte names a channel on which no more will come. */
const CLOSE = 255;
const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
/** What a process left running behind itself may hold its output open for. */
const QUIET_MS = 500;

const server = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  handleProtocols: (offered) => PROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
});

/** Undefined when the handshake failed; the peer has been told. */
export function acceptChannels(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<Channels | undefined> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve(undefined));
    server.handleUpgrade(request, socket, head, (webSocket) => {
      // Input waits until there is someone to read it.
      webSocket.pause();
      resolve(new Channels(webSocket));
    });
  });
}

/** A message is one byte for the channel, then the data. */
export class Channels {
  readonly #socket: WebSocket;
  readonly closed: Promise<void>;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => socket.terminate());
  }

  /** Resolves when the data has left: the sender reads no more until then. */
  send(channel: number, data: Uint8Array): Promise<void> {
    const message = Buffer.concat([Buffer.from([channel]), data]);
    return new Promise((resolve, reject) => {
      this.#socket.send(message, { binary: true }, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** `onMessage` returns a promise to be awaited before the next message is taken. */
  receive(onMessage: (channel: number, data: Buffer) => Promise<void> | undefined): void {
    this.#socket.on('message', (raw: RawData) => {
      const message = Buffer.isBuffer(raw) ? raw : Buffer.concat(Array.isArray(raw) ? raw : [Buffer.from(raw)]);
      const wait = message.length > 0 ? onMessage(message[0]!, message.subarray(1)) : undefined;
      if (!wait) return;
      this.#socket.pause();
      void wait.finally(() => this.#socket.resume());
    });
    this.#socket.resume();
  }

  /** The last word: a metav1.Status on the error channel, then the end. */
  async finish(status: object): Promise<void> {
    this.#socket.resume();
    await this.send(ERROR, Buffer.from(JSON.stringify({ metadata: {}, ...status }))).catch(() => {});
    this.#socket.close(1000);
  }

  fail(message: string): void {
    void this.finish({ status: 'Failure', reason: 'InternalError', message, code: 500 });
  }
}

/** `lastWord` makes the Status from the exit code. */
export async function serveProcess(
  channels: Channels,
  process: ExecProcess,
  streams: StreamQuery,
  lastWord: (exitCode: number) => object,
): Promise<void> {
  let over = false;
  process.stdin?.on('error', () => {}); // it has stopped reading: what is sent is lost, as in a shell's pipe
  channels.receive((channel, data) => take(process, channel, data));
  void channels.closed.then(() => {
    if (over) return;
    process.stdin?.end();
    process.kill();
  });
  const output = new Output(channels);
  const pumps = [
    streams.stdout ? output.pump(process.stdout, STDOUT) : drain(process.stdout),
    streams.stderr && process.stderr ? output.pump(process.stderr, STDERR) : drain(process.stderr),
  ];
  const exitCode = await process.exit;
  await Promise.race([Promise.all(pumps), output.quiet()]);
  over = true;
  await channels.finish(lastWord(exitCode));
}

function take(process: ExecProcess, channel: number, data: Buffer): Promise<void> | undefined {
  const { stdin } = process;
  if (channel === STDIN && stdin?.writable && data.length > 0) {
    if (stdin.write(data)) return undefined;
    return new Promise((resolve) => {
      const done = () => {
        stdin.off('drain', done).off('close', done);
        resolve();
      };
      stdin.on('drain', done).on('close', done);
    });
  }
  if (channel === CLOSE && data[0] === STDIN) stdin?.end();
  if (channel === RESIZE) {
    const { Width, Height } = JSON.parse(data.toString()) as { Width: number; Height: number };
    process.resize(Width, Height);
  }
  return undefined;
}

class Output {
  readonly #channels: Channels;
  #last = performance.now();
  #sending = 0;

  constructor(channels: Channels) {
    this.#channels = channels;
  }

  async pump(stream: Readable, channel: number): Promise<void> {
    for await (const chunk of stream) {
      this.#sending++;
      await this.#channels.send(channel, chunk as Buffer).catch(() => stream.destroy());
      this.#sending--;
      this.#last = performance.now();
    }
  }

  /** Resolves once nothing has been said for a while and all that was said has left. */
  async quiet(): Promise<void> {
    const from = performance.now();
    for (;;) {
      const idle = performance.now() - Math.max(from, this.#last);
      if (this.#sending === 0 && idle >= QUIET_MS) return;
      await sleep(Math.max(QUIET_MS - idle, 10), undefined, { ref: false });
    }
  }
}

async function drain(stream: Readable | undefined): Promise<void> {
  stream?.resume();
}

/** Of an exec: kubectl takes its own exit code from here. */
export function exitStatus(exitCode: number): object {
  if (exitCode === 0) return { status: 'Success' };
  return {
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: `${exitCode}` }] },
  };
}

/** Of an attach, which went well however the container ended: kubectl run asks the pod for that. */
export function attachStatus(): object {
  return { status: 'Success' };
}
