// Room cni: the program that a container runtime starts: `podwire-cni`, or under the name `podwire` its IPAM alone.
import { readSync, writeSync } from 'node:fs';
import { nodeDirIn, roleOf } from './call.ts';
import { OneCall } from './host.ts';
import { type Outcome, run } from './run.ts';

const clock = new Int32Array(new SharedArrayBuffer(4));

/** Some runtimes hand us pipes that do not wait: EAGAIN says that the other end has not got round to it. */
function patiently(io: () => number): number {
  for (;;) {
    try {
      return io();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(clock, 0, 0, 1);
    }
  }
}

function readAll(fd: number): string {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.alloc(65_536);
    const length = patiently(() => readSync(fd, chunk));
    if (length === 0) return Buffer.concat(chunks).toString('utf8');
    chunks.push(chunk.subarray(0, length));
  }
}

const program = process.argv[2] ?? '';
const role = roleOf(program);
let input: string | undefined;
const stdin = () => {
  input ??= readAll(0);
  return input;
};
const isNodes = role === 'interface' && process.env['CNI_COMMAND'] !== undefined && nodeDirIn(stdin()) !== undefined;
// Loaded for nodes' networks alone: all others would wait for it.
const answered = isNodes ? (await import('./ask-node.ts')).askNode(program, process.env, stdin()) : undefined;
const { exitCode, stdout } = answered ?? (await runHere());

async function runHere(): Promise<Outcome> {
  using host = new OneCall();
  return await run(role, process.env, stdin, host);
}

let rest = Buffer.from(stdout ? `${stdout}\n` : '');
while (rest.length > 0) rest = rest.subarray(patiently(() => writeSync(1, rest)));
process.exitCode = exitCode;
