// Room kernel: cgroups (version 2) as places that programs are attached to; nothing is limited in them.
import { rmdirSync, statfsSync, writeFileSync } from 'node:fs';
import { makeFolder } from '../sys/folder.ts';

const CGROUP2_SUPER_MAGIC = 0x63677270;
const LOOKS = 500;
const LOOK_AGAIN_MS = 10;

/** Where this thread sees the tree of version 2: beside version 1 it has a folder of its own. */
export function cgroup2Root(): string | undefined {
  return ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((path) => {
    try {
      return statfsSync(path).type === CGROUP2_SUPER_MAGIC;
    } catch {
      return false;
    }
  });
}

/** Idempotent. Returns the path as this thread sees it. */
export function makeCgroup(name: string): string {
  const path = `${cgroup2Root()}/${name}`;
  makeFolder(path);
  return path;
}

/** Ends what is in it; with it go the programs attached to it. Succeeds when it is gone already. */
export async function removeCgroup(name: string): Promise<void> {
  const path = `${cgroup2Root()}/${name}`;
  for (let look = 0; ; look++) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      if (code !== 'EBUSY' || look === LOOKS) throw error;
    }
    if (look === 0) killAll(path);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** Linux 5.14. Before that whoever is in it is on his way out already. */
function killAll(path: string): void {
  try {
    writeFileSync(`${path}/cgroup.kill`, '1', { flag: 'r+' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
