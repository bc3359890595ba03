// Room cluster: which process is the daemon. A pid alone may have been given again; pid and start time may not.
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTimeOf } from '../sys/identity.ts';
import { clusterPaths } from './paths.ts';

const ENDING_LIMIT_MS = 5000;

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks after boot. */
  readonly startTime: string;
}

export function identityOf(pid: number): ProcessIdentity | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export function writePidfile(path: string, pid: number): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(identityOf(pid))}\n`);
  renameSync(`${path}.new`, path);
}

/** The process that wrote the file, if it still runs. */
export function runningFrom(path: string): ProcessIdentity | undefined {
  let written: Partial<ProcessIdentity> | null;
  try {
    written = JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity | null;
  } catch {
    return undefined;
  }
  const now = typeof written?.pid === 'number' ? identityOf(written.pid) : undefined;
  return now?.startTime === written?.startTime ? now : undefined;
}

/** The cluster's daemon, if it runs: by its pidfile, or, where that is damaged, by the database that it has open. */
export function runningDaemon(clusterName: string): ProcessIdentity | undefined {
  const paths = clusterPaths(clusterName);
  return runningFrom(paths.pid) ?? lockerOf(join(paths.api, 'api.db'));
}

/** Whether it has been killed and its last threads are ending: its ports and locks will be free in a moment. */
export function isEnding({ pid }: ProcessIdentity): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return true;
  }
}

/** Waits for the end of a process that has been killed; at most five seconds. */
export async function gone({ pid, startTime }: ProcessIdentity): Promise<void> {
  const end = Date.now() + ENDING_LIMIT_MS;
  while (identityOf(pid)?.startTime === startTime && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The process that holds a POSIX lock on the file (proc_locks(5)). */
export function lockerOf(path: string): ProcessIdentity | undefined {
  const inode = statSync(path, { throwIfNoEntry: false })?.ino;
  if (inode === undefined) return undefined;
  // `1: POSIX  ADVISORY  WRITE 4242 fe:01:131074 0 EOF`; waiting ones have `->` behind the number.
  for (const line of readFileSync('/proc/locks', 'latin1').split('\n')) {
    const [, kind, , , pid, file] = line.split(/\s+/);
    if (kind === 'POSIX' && file?.endsWith(`:${inode}`)) return identityOf(Number(pid));
  }
  return undefined;
}
