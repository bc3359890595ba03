// Room node: the network namespace of another runtime's container, as the agent finds it and finds it again.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync } from 'node:fs';
import { checkNamespace } from '../cni/namespace.ts';
import { environment } from '../cni/request.ts';
import { netnsPath, openNamespace, pin, removeNamespace } from '../sys/netns.ts';

export interface Place {
  readonly inode: string;
  /** Absent: the path that the runtime told leads there. */
  readonly pin?: string;
}

export interface Told {
  /** CNI_NETNS */
  readonly path: string;
  /** What the caller found there, which may live among other mounts than we do. */
  readonly fd: number | undefined;
  /** Where to pin it if need be. */
  readonly pinPath: string;
}

/** Throws a CniError (4). */
export function placeOf({ path, fd, pinPath }: Told): Place {
  const seen = inodeAt(path);
  const inode = fd === undefined ? seen : inodeOf(fd);
  if (inode === undefined) throw environment('CNI_NETNS', `${path} cannot be opened`);
  if (seen === inode || fd === undefined) {
    checkNamespace(path);
    return { inode };
  }
  checkNamespace(`/proc/self/fd/${fd}`);
  removeNamespace(pinPath);
  pin(fd, pinPath);
  return { inode, pin: pinPath };
}

/** `down` takes them with the pods' own, which are named alike. */
export function pinPathOf(clusterName: string, sandboxId: string): string {
  const digest = createHash('sha1').update(sandboxId).digest('hex').slice(0, 10);
  return netnsPath(`pw-${clusterName}-${digest}`);
}

/** Undefined when nothing is there. */
export function inodeAt(path: string): string | undefined {
  let fd: number;
  try {
    fd = openNamespace(path);
  } catch {
    return undefined;
  }
  try {
    return inodeOf(fd);
  } finally {
    closeSync(fd);
  }
}

function inodeOf(fd: number): string {
  const { dev, ino } = fstatSync(fd);
  return `${dev}:${ino}`;
}
