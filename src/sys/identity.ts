// Room sys: which process a pid stands for. A pid alone may have been given again; a pid with its start time may not.
import { readFileSync } from 'node:fs';

/** Field 22 of /proc/<pid>/stat: clock ticks from boot to the start. Undefined when it is gone: also when only its zombie is left. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command's name (field 2) may hold spaces and parentheses: count from behind its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // While other threads of a zombie are ending, its sockets and locks are still held.
    const threads = Number(fields[17]);
    return fields[0] === 'Z' && threads <= 1 ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
