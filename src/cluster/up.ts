// Room cluster: starts the daemon of a cluster and waits until every node is Ready and DNS answers.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { Fault } from '../observe/fault.ts';
import { programFile } from '../observe/install.ts';
import type { ClusterConfig, PartialConfig } from './config.ts';
import type { DaemonMessage, Readiness } from './daemon.ts';
import { requireClusterName } from './known.ts';
import { tryLock } from './lock.ts';
import { fabricExists } from './namespaces.ts';
import { clusterPaths } from './paths.ts';
import { gone, isEnding, runningDaemon, writePidfile } from './pidfile.ts';
import { findRuntime } from './programs.ts';
import { CHROOT_MEND, isChroot, requireRoot } from './root.ts';
import { decideConfig, requirePort, storeConfig, storedConfig } from './slot.ts';

export interface UpOptions {
  readonly name: string;
  /** From the flags and the config file, the flags last. */
  readonly said: readonly PartialConfig[];
  readonly demo: boolean;
  readonly onStep: (step: string) => void;
  /** Ends the start: a first one leaves nothing behind. */
  readonly signal?: AbortSignal;
}

export interface UpResult extends Readiness {
  readonly config: ClusterConfig;
  /** Pods that ran before and were adopted: the daemon had died. */
  readonly adopted: boolean;
  readonly daemon: ChildProcess;
}

/** On a machine that is busy with other things; and for each node. */
const START_LIMIT_MS = 180_000;
const START_LIMIT_NODE_MS = 2000;

/** Checks what can be known before anything is made, and decides the config. Throws a Fault. */
export async function prepare(
  name: string,
  said: readonly PartialConfig[],
): Promise<{ config: ClusterConfig; adopted: boolean }> {
  requireClusterName(name);
  requireRoot();
  const chroot = isChroot();
  findRuntime();
  const paths = clusterPaths(name);
  const daemon = runningDaemon(name);
  if (daemon && isEnding(daemon)) await gone(daemon);
  else if (daemon) {
    throw new Fault(`cluster ${name} is already up`, { mend: `podwire status --name ${name}` });
  }
  const stored = storedConfig(name);
  if (stored) {
    refuseOtherConfig(stored, said);
    await requirePort(stored.api.port, `it is that of cluster ${name}: end who listens there`);
  } else if (fabricExists(name)) {
    throw new Fault(`namespaces of a cluster ${name} are there, but no state in ${paths.dir}`, {
      mend: `set PODWIRE_STATE to where it was started, choose another --name, or remove them with: podwire down --name ${name}`,
    });
  }
  if (await chroot) throw new Fault('this is a chroot: no cluster can run in it', { mend: CHROOT_MEND });
  if (stored) return { config: stored, adopted: true };
  const decided = await decideConfig(name, ...said);
  const plain = said.every((part) => !part.network?.overlay && !part.network?.racks);
  const config = plain ? decided : (await import('./overlay.ts')).settleOverlay(decided);
  storeConfig(config);
  return { config, adopted: false };
}

/** What was left by a daemon that died is adopted as it is; another wish must be said by `down` first. */
function refuseOtherConfig(stored: ClusterConfig, said: readonly PartialConfig[]): void {
  for (const part of said) {
    for (const [field, value] of Object.entries(part)) {
      const kept = stored[field as keyof ClusterConfig];
      if (agrees(kept, value)) continue;
      throw new Fault(`cluster ${stored.name} is there from before, with another value of ${field}`, {
        mend: `podwire down --name ${stored.name} first, or leave ${field} out to take up what runs`,
      });
    }
  }
}

/** Whether all that is said is so already. */
function agrees(kept: unknown, said: unknown): boolean {
  if (typeof said !== 'object' || said === null || Array.isArray(said)) return isDeepStrictEqual(kept, said);
  return Object.entries(said).every(([field, value]) => agrees((kept as Record<string, unknown>)[field], value));
}

/** Undone by the end of the process. Throws a Fault while another `up` or `down` works on the cluster. */
export async function lockForUp(name: string): Promise<AsyncDisposable> {
  const lock = await tryLock(name);
  if (lock) return lock;
  throw new Fault(`another podwire up or down works on cluster ${name} at this moment`, {
    mend: `podwire status --name ${name}, which tells when it has ended`,
  });
}

export async function up(options: UpOptions): Promise<UpResult> {
  await using _ = await lockForUp(options.name);
  const { config, adopted } = await prepare(options.name, options.said);
  const child = spawnDaemon(config, options.demo);
  try {
    if (child.pid) writePidfile(clusterPaths(config.name).pid, child.pid);
    const readiness = await untilReady(child, config, options);
    return { ...readiness, config, adopted, daemon: child };
  } catch (error) {
    child.kill('SIGKILL');
    // A first start that failed leaves nothing behind; pods that ran before stay.
    if (!adopted) await (await import('./down.ts')).takeDown(config.name, { keepLog: !options.signal?.aborted });
    throw error;
  } finally {
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function spawnDaemon({ name, nodes }: ClusterConfig, demo: boolean): ChildProcess {
  const paths = clusterPaths(name);
  const log = openSync(paths.log, 'a', 0o640);
  // With more threads than processors the helpers of their garbage collectors wait for each other: a tenth of all work.
  const flags = nodes > 2 * availableParallelism() ? ['--single-threaded-gc'] : [];
  const child = spawn(process.execPath, [...flags, programFile('daemon'), name, ...(demo ? ['--demo'] : [])], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  return child;
}

function untilReady(
  child: ChildProcess,
  { name, nodes }: ClusterConfig,
  { onStep, signal }: UpOptions,
): Promise<Readiness> {
  return new Promise((resolve, reject) => {
    const log = clusterPaths(name).log;
    const fail = (what: string, mend?: string) => {
      clearTimeout(limit);
      reject(new Fault(what, { mend: mend ?? `the log is ${log}${lastError(log)}` }));
    };
    const limitMs = START_LIMIT_MS + nodes * START_LIMIT_NODE_MS;
    const limit = setTimeout(() => fail(`cluster ${name} was not ready after ${limitMs / 1000} s`), limitMs);
    const interrupt = () => {
      clearTimeout(limit);
      reject(new Fault(`interrupted before cluster ${name} was ready`, { exitCode: 130 }));
    };
    if (signal?.aborted) interrupt();
    signal?.addEventListener('abort', interrupt, { once: true });
    child.on('error', (error) => fail(`the daemon could not be started: ${error.message}`));
    child.on('exit', (code, signal) => {
      if (signal === 'SIGKILL')
        fail(`the daemon was killed before cluster ${name} was ready`, `podwire up --name ${name}`);
      else fail(`the daemon ended before cluster ${name} was ready (${signal ?? `exit code ${code}`})`);
    });
    child.on('message', (message: DaemonMessage) => {
      if (message.type === 'step') onStep(message.step);
      if (message.type === 'failed') fail(message.message, message.mend);
      if (message.type !== 'ready') return;
      clearTimeout(limit);
      child.removeAllListeners('exit');
      resolve({ timings: message.timings, datapath: message.datapath });
    });
  });
}

function lastError(log: string): string {
  try {
    const lines = readFileSync(log, 'utf8').trim().split('\n').slice(-50);
    const fatal = lines.findLast((line) => line.includes('"level":60') || line.includes('"level":50')) ?? lines.at(-1);
    return fatal ? `; its last error: ${wordsOf(fatal)}` : '';
  } catch {
    return '';
  }
}

/** Of a line of the log, or of what Node wrote there. */
function wordsOf(line: string): string {
  if (!line.startsWith('{')) return line.slice(0, 200);
  const { err, msg } = JSON.parse(line) as { err?: { message?: string }; msg?: string };
  return [msg, err?.message].filter(Boolean).join(': ');
}
