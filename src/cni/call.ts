// Room cni: what the thin client and an agent say to each other over the agent's socket, in bytes.

import { basename, join } from 'node:path';
import type { Role } from './run.ts';

/**
 * The client sends once, with file descriptors attached: its standard input as a memory file, its network namespace, its mount
 * namespace, and the container's network namespace where it could be opened.
 *
 *     u32 magic, u32 length of what follows, then strings with a zero behind each: argv[0], and every variable CNI_…
 *
 * An agent that takes the request answers ACCEPTED, one byte: from then on nobody else does the work. When it is done, it has
 * written what is to be printed behind the end of the memory file, and says so:
 *
 *     u64 exit code, u64 offset of the answer in the memory file
 *
 * An agent that does not take it closes: the client then starts the plugin that needs no agent. All numbers are in the
 * machine's order, which is little-endian wherever there is a thin client.
 */
export const MAGIC = 0x31435750;
export const HEADER_BYTES = 8;
export const ACCEPTED = 0x41;
export const REPLY_BYTES = 16;
/** Variables and argv[0] that fit a request. */
export const MOST_STRINGS = 60;
/** Seconds: an agent that does not take a request in so many is passed over; one that took it has the others to answer. */
export const ACCEPT_SECONDS = 10;
export const ANSWER_SECONDS = 120;
/** Largest that sockaddr_un has room for. */
export const LONGEST_SOCKET_PATH = 107;

export interface ClientCall {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Where a node's agent listens, in its directory of state. */
export function nodeSocket(nodeDir: string): string {
  return join(nodeDir, 'cni.sock');
}

/** Of a configuration that is yet to be read with care: whose network it is. */
export function nodeDirIn(stdin: string): string | undefined {
  try {
    const { nodeDir } = JSON.parse(stdin) as { nodeDir?: unknown };
    return typeof nodeDir === 'string' ? nodeDir : undefined;
  } catch {
    return undefined;
  }
}

/** Under the name `podwire` it is the IPAM plugin alone. */
export function roleOf(program: string): Role {
  return basename(program) === 'podwire' ? 'ipam' : 'interface';
}

/** Undefined when it is not whole. Throws a RangeError when it is no call at all. */
export function decodeCall(bytes: Buffer): ClientCall | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  if (bytes.readUInt32LE(0) !== MAGIC) throw new RangeError('not a call of podwire-cni');
  const length = bytes.readUInt32LE(4);
  if (bytes.length < HEADER_BYTES + length) return undefined;
  const [program = '', ...variables] = bytes.toString('utf8', HEADER_BYTES, HEADER_BYTES + length).split('\0');
  const pairs = variables
    .filter((text) => text.includes('='))
    .map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)] as const);
  return { program, env: Object.fromEntries(pairs) };
}

export function encodeCall({ program, env }: ClientCall): Buffer {
  const strings = [program, ...Object.entries(env).map(([key, value]) => `${key}=${value}`)];
  const text = Buffer.from(strings.map((each) => `${each}\0`).join(''));
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(text.length, 4);
  return Buffer.concat([header, text]);
}

export function encodeReply(exitCode: number, offset: number): Buffer {
  const reply = Buffer.alloc(REPLY_BYTES);
  reply.writeBigUInt64LE(BigInt(exitCode), 0);
  reply.writeBigUInt64LE(BigInt(offset), 8);
  return reply;
}
