// The thin client and its agent in a test's own machine.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { installProgram } from '../../src/cni/install.ts';
import { shimProgram } from '../../src/cni/shim.ts';
import { isArchitecture } from '../../src/wire/elf/executable.ts';
import { PODWIRE } from '../cluster/machine.ts';
import { plugin, rootSkip, type World } from './world.ts';

export const agentSkip =
  rootSkip || (isArchitecture(process.arch) ? false : `there is no thin client for ${process.arch}`);

export function socketOf(world: World): string {
  return join(world.dir, 'cni.sock');
}

/** As `podwire cni install` does it. `fallback`: what needs no agent. */
export function thinClient(world: World, fallback = plugin()): string {
  const binDir = join(world.dir, 'bin');
  return installProgram({ binDir, socket: socketOf(world), fallback, architecture: process.arch })[0]!;
}

/** One that does not wait ten seconds for an agent that hangs. */
export function impatientClient(world: World, fallback = plugin()): string {
  const path = join(world.dir, 'impatient');
  const { arch } = process;
  if (!isArchitecture(arch)) throw new Error(arch);
  writeFileSync(path, shimProgram({ architecture: arch, socket: socketOf(world), fallback, acceptSeconds: 1 }));
  chmodSync(path, 0o755);
  return path;
}

export interface TestAgent extends AsyncDisposable {
  readonly process: ChildProcess;
}

/** `podwire cni agent` in the node's namespace, taking calls. */
export async function startAgent(world: World): Promise<TestAgent> {
  const words = [`--net=${world.node}`, PODWIRE, 'cni', 'agent', '--socket', socketOf(world)];
  const child = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the agent ended with ${code}`)));
  });
  return {
    process: child,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Something at the agent's socket that is no agent: `behave` is given each caller. */
export async function startImpostor(world: World, behave: (socket: Socket) => void): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    behave(socket);
  });
  await new Promise<void>((resolve) => server.listen(socketOf(world), resolve));
  return {
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
