// Room runtime: a further process in a running container, for `kubectl exec` and probes. It is our child and ends with us.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { Fault } from '../observe/fault.ts';
import { openPty, setTerminalSize } from '../sys/pty.ts';
import { capabilities, ownCapabilities } from './capabilities.ts';
import { PROGRAM_ENV, type Programs, runtimeArgs } from './holder.ts';
import { type OciUser, ociProcess } from './oci-config.ts';
import type { RuntimePaths } from './paths.ts';
import { readText } from './record.ts';
import type { ContainerSpec, ExecOptions, ExecProcess } from './runtime.ts';
import { StartFailure } from './start-failure.ts';

export interface ExecTarget {
  readonly programs: Programs;
  readonly paths: RuntimePaths;
  /** The container's own folder: files of the call lie there until it ends. */
  readonly dir: string;
  readonly spec: ContainerSpec;
  readonly user: OciUser;
  readonly hostname: string;
  /** The directory of the cgroup2 in which the process is to be. */
  readonly cgroup: string | undefined;
}

interface Call {
  readonly args: readonly string[];
  readonly pidFile: string;
  readonly logFile: string;
  readonly processFile: string;
}

let calls = 0;

export function execIn(target: ExecTarget, options: ExecOptions): ExecProcess {
  const call = prepare(target, options);
  return options.tty ? withTerminal(target, call, options) : withPipes(target, call, options);
}

function prepare({ programs, paths, dir, spec, user, hostname }: ExecTarget, options: ExecOptions): Call {
  const base = join(dir, `exec-${process.pid}-${++calls}`);
  const [processFile, pidFile, logFile] = [`${base}.json`, `${base}.pid`, `${base}.log`];
  const command = { ...spec, command: options.command, args: [], tty: options.tty };
  writeFileSync(
    processFile,
    JSON.stringify(ociProcess(command, user, hostname, capabilities(spec, ownCapabilities()))),
  );
  const args = [
    ...runtimeArgs(programs, paths),
    `--log=${logFile}`,
    ...['exec', '--process', processFile, '--pid-file', pidFile, spec.id],
  ];
  return { args, pidFile, logFile, processFile };
}

/** crun puts nothing into a cgroup: the process is there before it becomes crun. */
function commandOf({ programs, cgroup }: ExecTarget, { args }: Call): [file: string, args: readonly string[]] {
  if (cgroup === undefined) return [programs.ociRuntime, args];
  return ['/bin/sh', ['-c', 'echo 0 > "$0" && exec "$@"', `${cgroup}/cgroup.procs`, programs.ociRuntime, ...args]];
}

function withPipes(target: ExecTarget, call: Call, options: ExecOptions): ExecProcess {
  const child = spawn(...commandOf(target, call), {
    env: PROGRAM_ENV,
    stdio: [options.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  });
  // A process that does not read its stdin to the end is no failure of ours.
  child.stdin?.on('error', () => {});
  return {
    stdin: child.stdin ?? undefined,
    stdout: child.stdout!,
    stderr: child.stderr!,
    resize: () => {},
    exit: exitOf(child, call, 'exit'),
    kill: () => kill(child, call),
  };
}

/**
 * The runtime makes the terminal in the container and relays between it and its own stdio, which is a terminal of ours in raw
 * mode: so sizes and bytes pass through, and no file descriptor need be received over a socket.
 */
function withTerminal(target: ExecTarget, call: Call, options: ExecOptions): ExecProcess {
  const { master, slave } = openPty();
  const child = spawn(...commandOf(target, call), {
    env: PROGRAM_ENV,
    stdio: [slave, slave, slave],
    detached: true,
  });
  closeSync(slave);
  const terminal = new ReadStream(master);
  const stdout = new PassThrough();
  const drained = new Promise<void>((resolve) => terminal.once('close', resolve));
  // EIO is how a terminal says that its other side is closed.
  terminal.on('error', () => terminal.destroy());
  terminal.pipe(stdout, { end: false });
  terminal.once('close', () => stdout.end());
  let size = { columns: 0, rows: 0 };
  const resize = () => {
    if (terminal.destroyed) return;
    // The outer one for a runtime that has not started yet: it copies that size once.
    setTerminalSize(master, size.columns, size.rows);
    if (!resizeInner(call, size.columns, size.rows)) setTimeout(resize, 5);
  };
  return {
    // Ending it does not hang up: whoever types leaves by what he types.
    stdin: options.stdin
      ? new Writable({ write: (chunk, _, done) => void terminal.write(chunk, () => done()) })
      : undefined,
    stdout,
    stderr: undefined,
    resize: (columns, rows) => {
      size = { columns, rows };
      resize();
    },
    exit: exitOf(child, call, 'exit').finally(() => drained),
    kill: () => kill(child, call),
  };
}

/** The terminal in the container, through whichever of its stdio the process has left on it. False while there is no process. */
function resizeInner(call: Call, columns: number, rows: number): boolean {
  const pid = Number(readText(call.pidFile) || 0);
  if (pid === 0) return false;
  for (const stdio of [0, 1, 2]) {
    const path = `/proc/${pid}/fd/${stdio}`;
    try {
      if (!readlinkSync(path).startsWith('/dev/pts/')) continue;
      const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
      setTerminalSize(fd, columns, rows);
      closeSync(fd);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return true;
}

/** What the runtime logs is why it could not start the process; the process itself writes elsewhere. */
function exitOf(child: ChildProcess, call: Call, event: 'exit' | 'close'): Promise<number> {
  const exit = Promise.withResolvers<number>();
  child.once('error', (error) => exit.reject(new Fault(error.message)));
  child.once(event, (code: number | null, signal: NodeJS.Signals | null) => {
    const said = readText(call.logFile) ?? '';
    for (const file of [call.processFile, call.pidFile, call.logFile]) rmSync(file, { force: true });
    if (code !== 0 && said !== '')
      exit.reject(new Fault(`cannot exec in container: ${new StartFailure(said).message}`));
    else exit.resolve(code ?? 128 + os.signals[signal!]);
  });
  // Whoever asks for it later still gets the rejection.
  exit.promise.catch(() => {});
  return exit.promise;
}

function kill(child: ChildProcess, call: Call): void {
  const pid = Number(readText(call.pidFile) ?? 0);
  // Its pid cannot be another's yet: its parent, the runtime, has not ended.
  if (pid > 0 && child.exitCode === null && child.signalCode === null) process.kill(pid, 'SIGKILL');
  else child.kill('SIGKILL');
}
