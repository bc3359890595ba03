// Room cluster: which process is the daemon. A pid alone may have been given again; pid and start time may not.
import { readFileSync, writeFileSync } from 'node:fs';
import { startTimeOf } from '../sys/identity.ts';

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
  writeFileSync(path, `${JSON.stringify(identityOf(pid))}\n`);
}

/** The process that wrote the file, if it still runs. */
export function runningFrom(path: string): ProcessIdentity | undefined {
  let written: ProcessIdentity;
  try {
    written = JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
  const now = identityOf(written.pid);
  return now?.startTime === written.startTime ? now : undefined;
}
