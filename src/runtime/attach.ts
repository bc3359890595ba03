// Room runtime: the stdio of a running container itself, by way of the conmon that holds it (`kubectl attach`, `kubectl run -i`).
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { PassThrough, Writable } from 'node:stream';
import { connectPackets, type PacketSocket } from '../sys/seqpacket.ts';
import type { ContainerPaths } from './paths.ts';
import type { ContainerSpec, ExecProcess } from './runtime.ts';

/** First byte of each packet from conmon. */
const STDERR = 3;
/** conmon reads no more of a packet. */
const LARGEST_INPUT = 8192;
const RETRY_MS = 5;

/** `exit` is that of the container. Killing it only lets go. */
export function attachTo(paths: ContainerPaths, spec: ContainerSpec, exit: Promise<number>): ExecProcess {
  const stdout = new PassThrough();
  const stderr = spec.tty ? undefined : new PassThrough();
  const socket = connectPackets(paths.attach, {
    packet: (bytes) => (bytes[0] === STDERR && stderr ? stderr : stdout).write(bytes.subarray(1)),
    closed: () => {
      stdout.end();
      stderr?.end();
    },
  });
  return {
    stdin: spec.stdin ? inputOf(socket) : undefined,
    stdout,
    stderr,
    resize: (columns, rows) => resize(paths.control, columns, rows),
    exit,
    kill: () => {
      socket.close();
      stdout.end();
      stderr?.end();
    },
  };
}

function inputOf(socket: PacketSocket): Writable {
  const sendAll = (bytes: Buffer, done: (error?: Error) => void) => {
    try {
      let rest = bytes;
      while (rest.length > 0 && socket.send(rest.subarray(0, LARGEST_INPUT))) rest = rest.subarray(LARGEST_INPUT);
      if (rest.length === 0) done();
      else setTimeout(sendAll, RETRY_MS, rest, done);
    } catch (error) {
      done(error as Error);
    }
  };
  const input = new Writable({
    write: (chunk: Buffer, _, done) => sendAll(chunk, done),
    final: (done) => {
      socket.end();
      done();
    },
  });
  // The container has ended before it read all: no failure of ours.
  return input.on('error', () => {});
}

/** conmon's control FIFO: message type 1 is the terminal's size. */
function resize(control: string, columns: number, rows: number): void {
  const fd = openSync(control, constants.O_WRONLY | constants.O_NONBLOCK);
  writeSync(fd, `1 ${rows} ${columns}\n`);
  closeSync(fd);
}
