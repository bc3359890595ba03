// Room cni: an agent's socket: calls of the thin client are read, taken or left, answered.
import { closeSync, fstatSync, readSync, writeSync } from 'node:fs';
import { logger } from '../observe/log.ts';
import { listenUnix, type UnixMessage, type UnixPeer } from '../sys/unix-listener.ts';
import { ACCEPTED, decodeCall, encodeReply, roleOf } from './call.ts';
import type { Environment } from './request.ts';
import type { Outcome, Role } from './run.ts';
import { Steps } from './steps.ts';

const log = logger('cni');
/** A call that takes longer is told of. */
const SLOW_MS = 1000;
/** Variables of more bytes than this are nobody's. */
const MOST_BYTES = 1 << 20;

export interface NamespaceId {
  readonly dev: number;
  readonly ino: number;
}

export interface Call {
  readonly role: Role;
  /** The variables CNI_… of the caller. */
  readonly env: Environment;
  readonly stdin: string;
  /** In which the caller lives. */
  readonly net: NamespaceId;
  readonly mounts: NamespaceId;
  /** An fd of the namespace at CNI_NETNS, where the caller could open it; open until the call is answered. */
  readonly containerFd: number | undefined;
  /** Whoever answers says here what took how long. */
  readonly steps: Steps;
}

export interface Answerer {
  /** Whether the call is for this agent; if not, the caller helps itself. */
  takes(call: Call): boolean;
  answer(call: Call): Promise<Outcome>;
}

export interface CallServer {
  /** Takes no more calls, and leaves those that it took. */
  close(): void;
  /** Takes no more calls; resolves when those that it took are answered. */
  finish(): Promise<void>;
}

export function serveCalls(path: string, answerer: Answerer): CallServer {
  const atWork = new Set<Promise<void>>();
  const pending = new Map<UnixPeer, { bytes: Buffer; fds: number[] }>();
  const closing = new AbortController();
  const listener = listenUnix(path, (peer, message) => {
    const { bytes, fds } = joined(pending.get(peer), message);
    pending.delete(peer);
    const leave = () => {
      for (const fd of fds) closeSync(fd);
      peer.close();
    };
    if (!message) {
      leave();
      return false;
    }
    try {
      const call = decodeCall(bytes);
      if (call) {
        const answered = answer(peer, callOf(call, fds), fds, answerer, closing.signal).finally(leave);
        atWork.add(answered);
        void answered.finally(() => atWork.delete(answered));
      } else if (bytes.length > MOST_BYTES) leave();
      else {
        pending.set(peer, { bytes, fds });
        return true;
      }
    } catch (error) {
      log.warn({ err: error }, 'a call that could not be read');
      leave();
    }
    return false;
  });
  return {
    close() {
      closing.abort();
      listener.close();
    },
    async finish() {
      listener.close();
      await Promise.all(atWork);
    },
  };
}

function joined(before: { bytes: Buffer; fds: number[] } | undefined, message: UnixMessage | undefined) {
  const parts = [before, message].filter((part) => part !== undefined);
  return { bytes: Buffer.concat(parts.map((part) => part.bytes)), fds: parts.flatMap((part) => part.fds) };
}

function callOf({ program, env }: { program: string; env: Environment }, fds: readonly number[]): Call {
  const [stdin, net, mounts, containerFd] = fds;
  if (stdin === undefined || net === undefined || mounts === undefined) throw new RangeError('file descriptors lack');
  return {
    role: roleOf(program),
    env,
    stdin: readWhole(stdin),
    net: namespaceId(net),
    mounts: namespaceId(mounts),
    containerFd,
    steps: new Steps(),
  };
}

function namespaceId(fd: number): NamespaceId {
  const { dev, ino } = fstatSync(fd);
  return { dev, ino };
}

function readWhole(fd: number): string {
  const bytes = Buffer.alloc(fstatSync(fd).size);
  let length = 0;
  while (length < bytes.length) {
    const read = readSync(fd, bytes, length, bytes.length - length, length);
    if (read === 0) break;
    length += read;
  }
  return bytes.toString('utf8', 0, length);
}

function tell({ env, steps }: Call, ms: number): void {
  const what = { verb: env['CNI_COMMAND'], container: env['CNI_CONTAINERID'], ms: Math.round(ms), took: steps.took };
  if (ms > SLOW_MS) log.warn(what, 'slow');
  else log.debug(what, 'answered');
}

const waiting: (() => void)[] = [];

/**
 * One call a turn of the event loop. Of fifty that came together all would wait for the last: their promises are continued one
 * step of all after the other; and what comes back from other threads waits for all that was due before.
 */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(nextTurn);
  });
}

function nextTurn(): void {
  waiting.shift()!();
  if (waiting.length > 0) setImmediate(nextTurn);
}

async function answer(
  peer: UnixPeer,
  call: Call,
  fds: readonly number[],
  answerer: Answerer,
  closing: AbortSignal,
): Promise<void> {
  try {
    // A caller that has given up is not told of: then somebody else does the work.
    if (!answerer.takes(call) || !peer.send(Uint8Array.of(ACCEPTED))) return;
    const begun = performance.now();
    await turn();
    // Nobody is there to hear of it, and what it would use is closed.
    if (closing.aborted) return;
    call.steps.add('wait', performance.now() - begun);
    const { exitCode, stdout } = await answerer.answer(call);
    tell(call, performance.now() - begun);
    const memory = fds[0]!;
    const offset = fstatSync(memory).size;
    const bytes = Buffer.from(stdout ? `${stdout}\n` : '');
    for (let at = 0; at < bytes.length; ) at += writeSync(memory, bytes, at, bytes.length - at, offset + at);
    peer.send(encodeReply(exitCode, offset));
  } catch (error) {
    log.error({ err: error }, 'a call could not be answered');
  }
}
