// Room runtime: conmon, the small process that holds one container: its stdio, its log file, its exit code. It is not our child and outlives us.
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import type { ContainerPaths, RuntimePaths } from './paths.ts';
import type { ContainerSpec } from './runtime.ts';
import { StartFailure } from './start-failure.ts';

export interface Programs {
  readonly ociRuntime: string;
  readonly conmon: string;
}

export function isCrun(programs: Programs): boolean {
  return basename(programs.ociRuntime) === 'crun';
}

/** What stands before the OCI runtime's verb, in each call of it. */
export function runtimeArgs(programs: Programs, paths: RuntimePaths): string[] {
  // Nothing of ours needs a cgroup per container, and making one costs more than starting the process.
  const cgroups = isCrun(programs) ? ['--cgroup-manager=disabled'] : [];
  return [`--root=${paths.oci}`, ...cgroups];
}

/** The part of the environment that conmon and the runtime need; ours may hold secrets and NODE_OPTIONS. */
export const PROGRAM_ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  XDG_RUNTIME_DIR: '',
};

/** Creates the container, its process stopped just before execve(2). Resolves with the pid of process 1; rejects with a StartFailure. */
export async function createHeld(
  programs: Programs,
  paths: RuntimePaths,
  container: ContainerPaths,
  spec: ContainerSpec,
): Promise<number> {
  const args = [
    ...['--cid', spec.id, '--cuuid', spec.id, '--name', spec.name],
    ...['--runtime', programs.ociRuntime],
    ...runtimeArgs(programs, paths).flatMap((arg) => ['--runtime-arg', arg]),
    ...['--bundle', container.dir, '--container-pidfile', container.pid, '--conmon-pidfile', container.conmonPid],
    ...['--log-path', `k8s-file:${spec.logPath}`, '--exit-dir', paths.exits, '--persist-dir', container.dir],
    ...['--log-level', 'error', '--full-attach', '--no-new-keyring', '--no-sync-log'],
    ...(spec.tty ? ['--terminal'] : []),
    ...(spec.stdin ? ['--stdin'] : []),
    ...(spec.stdin && spec.stdinOnce === false ? ['--leave-stdin-open'] : []),
  ];
  const log = openSync(container.conmonLog, 'w');
  const child = spawn(programs.conmon, args, {
    cwd: container.dir,
    env: { ...PROGRAM_ENV, _OCI_SYNCPIPE: '3' },
    stdio: ['ignore', log, log, 'pipe'],
    detached: true,
  });
  closeSync(log);
  const failed = new Promise<never>((_, reject) => {
    child.once('error', (error) => reject(new StartFailure(`${programs.conmon}: ${error.message}`)));
  });
  // The process that we started forks the one that holds the container, writes that one's pid to a file, and ends; on a busy
  // machine the other may have made the container before that.
  const forked = new Promise((resolve) => child.once('exit', resolve));
  const pid = await Promise.race([failed, readSync(child.stdio[3] as Readable, container)]);
  await forked;
  return pid;
}

/** conmon writes one line of JSON: `data` is the pid, or negative with a `message`. */
async function readSync(pipe: Readable, container: ContainerPaths): Promise<number> {
  let text = '';
  for await (const chunk of pipe.setEncoding('utf8')) {
    text += chunk;
    if (text.includes('\n')) break;
  }
  pipe.destroy();
  if (text === '') throw new StartFailure(readFileSync(container.conmonLog, 'utf8') || 'conmon ended without a word');
  const answer = JSON.parse(text) as { data?: number; pid?: number; message?: string };
  const pid = answer.data ?? answer.pid ?? -1;
  if (pid <= 0) throw new StartFailure(answer.message ?? readFileSync(container.conmonLog, 'utf8'));
  return pid;
}

/**
 * Lets a created container run. crun's process 1 waits for a byte in a FIFO, so that no further `crun start` process is needed
 * (5 ms); other runtimes are asked by their verb.
 */
export async function startHeld(programs: Programs, paths: RuntimePaths, container: ContainerPaths, id: string) {
  if (!isCrun(programs)) return runVerb(programs, paths, 'start', id);
  const fifo = join(container.oci, 'exec.fifo');
  const fd = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  // Nothing between open and write: a process 1 whose writer died without a word spins, and dies when the next one comes.
  writeSync(fd, '\0');
  closeSync(fd);
  rmSync(fifo, { force: true });
}

/** A verb of the runtime with no answer but success. Rejects with a StartFailure. */
export async function runVerb(programs: Programs, paths: RuntimePaths, ...words: string[]): Promise<void> {
  const child = spawn(programs.ociRuntime, [...runtimeArgs(programs, paths), ...words], {
    env: PROGRAM_ENV,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.once('error', (error) => reject(new StartFailure(error.message)));
  child.once('close', (code) => (code === 0 ? resolve() : reject(new StartFailure(said))));
  return promise;
}
