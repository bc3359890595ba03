// Room cluster: the programs of the machine that we start, found on PATH and in the sbin folders.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Fault } from '../observe/fault.ts';

export function findProgram(program: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The OCI runtime and conmon. Throws a Fault that names the missing package. */
export function findRuntime(): { ociRuntime: string; conmon: string } {
  const ociRuntime = findProgram('crun') ?? findProgram('runc');
  const conmon = findProgram('conmon');
  if (ociRuntime && conmon) return { ociRuntime, conmon };
  const missing = [...(ociRuntime ? [] : ['crun']), ...(conmon ? [] : ['conmon'])];
  throw new Fault(`${missing.join(' and ')} not found on this machine`, {
    mend: `apt-get install -y --no-install-recommends ${missing.join(' ')}`,
  });
}
