// Room runtime: processes that run for us without being our children: known by pid and start time, awaited by pidfd.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SysError } from '../sys/ffi.ts';
import { startTimeOf } from '../sys/identity.ts';
import { onProcessExit } from '../sys/process.ts';
import { parseJson, type RecordedProcess, readText } from './record.ts';

/** Undefined when it is gone. */
export function recordProcess(pid: number): RecordedProcess | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export function isAlive(recorded: RecordedProcess | undefined): recorded is RecordedProcess {
  return recorded !== undefined && startTimeOf(recorded.pid) === recorded.startTime;
}

/** Says whether there was anyone to get it. */
export function sendSignal(recorded: RecordedProcess | undefined, signal: NodeJS.Signals): boolean {
  if (!isAlive(recorded)) return false;
  try {
    process.kill(recorded.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Calls back once when it has ended; at once (but not before returning) when it has already. Returns how to stop watching. */
export function onEnd(recorded: RecordedProcess, callback: () => void): () => void {
  try {
    const stop = onProcessExit(recorded.pid, callback);
    // Opened for someone else who got the pid since? Then the one we meant is gone.
    if (isAlive(recorded)) return stop;
    stop();
  } catch (error) {
    if (!(error instanceof SysError && error.code === 'ESRCH')) throw error;
  }
  let wanted = true;
  setImmediate(() => wanted && callback());
  return () => {
    wanted = false;
  };
}

export function ended(recorded: RecordedProcess | undefined): Promise<void> {
  if (!isAlive(recorded)) return Promise.resolve();
  return new Promise((resolve) => onEnd(recorded, resolve));
}

const LOOK_AGAIN_MS = 50;

/**
 * Settles when a killed process holds nothing any more. Where the machine's process 1 reaps no orphans (`sleep infinity` in many
 * a CI container), one left in a container's pid namespace keeps the container's process 1 from ending, for ever; its memory,
 * files and namespaces it has given back before it begins to wait.
 */
export async function hasLetGo(killed: RecordedProcess | undefined): Promise<void> {
  if (!isAlive(killed)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = onEnd(killed, resolve);
  let emptyLooks = 0;
  const look = () => {
    emptyLooks = commandLine(String(killed.pid)).join('') === '' ? emptyLooks + 1 : 0;
    if (emptyLooks > 1) resolve();
  };
  const timer = setInterval(look, LOOK_AGAIN_MS);
  await promise;
  clearInterval(timer);
  stop();
}

/**
 * Every conmon whose bundle lies in `containers`, from the process table: also one that was started a moment before its
 * starter died and that is in no record. Keyed by container id.
 */
export function findHolders(containers: string): Map<string, RecordedProcess[]> {
  const found = new Map<string, RecordedProcess[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const words = commandLine(name);
    const bundle = words[words.indexOf('--bundle') + 1];
    if (!words[0]?.endsWith('conmon') || !bundle?.startsWith(`${containers}/`)) continue;
    const recorded = recordProcess(Number(name));
    const id = bundle.slice(containers.length + 1);
    if (recorded) found.set(id, [...(found.get(id) ?? []), recorded]);
  }
  return found;
}

/** conmon leads a session and a process group; the OCI runtime that it calls is in it. */
export function killGroup(leader: RecordedProcess): void {
  if (!isAlive(leader)) return;
  try {
    process.kill(-leader.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Process 1 of a container that the OCI runtime has made, from the runtime's own state (`dir`): crun's status or runc's state.json. */
export function createdProcess(dir: string): RecordedProcess | undefined {
  const crun = readText(join(dir, 'status'));
  const runc = readText(join(dir, 'state.json'));
  const state = (parseJson(crun || runc) ?? {}) as Record<string, number | undefined>;
  const pid = state['pid'] ?? state['init_process_pid'];
  const startTime = state['process-start-time'] ?? state['init_process_start'];
  return pid && startTime ? { pid, startTime: String(startTime) } : undefined;
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
