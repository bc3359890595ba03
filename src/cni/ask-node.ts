// Room cni: a call on a node's network that its agent has not heard of yet: a folder of plugins knows one agent, and the networks in it may be of
// several; and there may be no thin client at all.
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { openMemoryFile, UnixCaller } from '../sys/unix-caller.ts';
import { ACCEPT_SECONDS, ACCEPTED, ANSWER_SECONDS, encodeCall, nodeDirIn, nodeSocket, REPLY_BYTES } from './call.ts';
import { CODE } from './error.ts';
import type { Environment } from './request.ts';
import type { Outcome } from './run.ts';
import { NEWEST } from './version.ts';

/** Undefined when it is no node's network, or no agent takes the call. */
export function askNode(program: string, env: Environment, stdin: string): Outcome | undefined {
  const nodeDir = nodeDirIn(stdin);
  if (nodeDir === undefined) return undefined;
  const socket = nodeSocket(nodeDir);
  using caller = UnixCaller.connect(socket);
  return caller && ask(caller, socket, encodeCall({ program, env: variables(env) }), env, stdin);
}

function variables(env: Environment): Record<string, string> {
  const named = Object.entries(env).filter(([name, value]) => name.startsWith('CNI_') && value !== undefined);
  return Object.fromEntries(named) as Record<string, string>;
}

/** As the thin client does it (shim.ts). */
function ask(
  caller: UnixCaller,
  socket: string,
  call: Uint8Array,
  env: Environment,
  stdin: string,
): Outcome | undefined {
  const file = openMemoryFile('podwire-cni');
  const fds = [file];
  try {
    const length = writeWhole(file, stdin);
    fds.push(...['/proc/self/ns/net', '/proc/self/ns/mnt'].map((path) => openSync(path, 'r')));
    const container = containerFd(env['CNI_NETNS']);
    if (container !== undefined) fds.push(container);
    if (!caller.send(call, fds)) return undefined;
    if (caller.receive(1, ACCEPT_SECONDS)?.[0] !== ACCEPTED) return undefined;
    const reply = caller.receive(REPLY_BYTES, ANSWER_SECONDS);
    if (reply) return { exitCode: reply.readBigUInt64LE() === 0n ? 0 : 1, stdout: readFrom(file, length) };
    // An ADD is not to be done twice, the other verbs may be.
    return env['CNI_COMMAND'] === 'ADD' ? lost(socket) : undefined;
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

function writeWhole(fd: number, text: string): number {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
  return bytes.length;
}

function readFrom(fd: number, offset: number): string {
  const chunks: Buffer[] = [];
  for (let at = offset; ; at += chunks.at(-1)!.length) {
    const chunk = Buffer.alloc(65_536);
    const length = readSync(fd, chunk, 0, chunk.length, at);
    if (length === 0) return Buffer.concat(chunks).toString('utf8').trimEnd();
    chunks.push(chunk.subarray(0, length));
  }
}

/** Whoever cannot open it leaves it to the agent, which has the path. */
function containerFd(path: string | undefined): number | undefined {
  if (!path) return undefined;
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}

function lost(socket: string): Outcome {
  const msg = `the agent at ${socket} ended or hung in the middle of ADD`;
  return { exitCode: 1, stdout: JSON.stringify({ cniVersion: NEWEST, code: CODE.tryLater, msg }) };
}
