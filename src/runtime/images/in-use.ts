// Room runtime: whether layers are part of a mounted root file system. Nodes mount in namespaces of their own, so all are looked at.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The first of `dirs` that is a lower directory of some overlay, in whatever mount namespace. */
export function mountedLayers(dirs: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    let mounts: string;
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (seen.has(namespace)) continue;
      seen.add(namespace);
      mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
    } catch {
      continue;
    }
    const found = dirs.find((dir) => mounts.includes(dir));
    if (found) return found;
  }
  return undefined;
}
