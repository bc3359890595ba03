// Room cluster: which process is the daemon. A pid alone may have been given again; pid and start time may not.
import { readFileSync, writeFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks after boot. */
  readonly startTime: string;
}

export function identityOf(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command's name (field 2) may hold spaces and parentheses: count from behind its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z') return undefined;
    return { pid, startTime: fields[19]! };
  } catch {
    return undefined;
  }
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
