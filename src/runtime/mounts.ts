// Room runtime: the mount namespace of a node, in which the root file systems of its containers are mounted and nobody else sees them.
import { existsSync, statfsSync } from 'node:fs';
import { basename } from 'node:path';
import { SysError } from '../sys/ffi.ts';
import { makeFolder } from '../sys/folder.ts';
import {
  enterMounts,
  hasOwnMounts,
  MS,
  mount,
  mountPoints,
  setMountReadOnly,
  unmount,
  unshareMounts,
} from '../sys/mount.ts';
import { isAlive } from './processes.ts';
import type { RecordedProcess } from './record.ts';

const CGROUP2_SUPER_MAGIC = 0x63677270;
const CGROUPS = '/sys/fs/cgroup';

/**
 * Moves the calling thread into the node's mount namespace: the one in which the containers of an earlier process live,
 * else a new one. It ends with its last process, and with it every mount in it.
 */
export function enterNodeMounts(holders: readonly RecordedProcess[], ociRuntime: string): void {
  for (const holder of holders) {
    if (isAlive(holder) && enterMountsOf(holder)) return;
  }
  if (!hasOwnMounts()) unshareMounts();
  if (basename(ociRuntime) === 'crun') showCgroup2Alone();
  // crun copies itself aside at each start (CVE-2019-5736), unless its file is on a read-only mount: saves 1-2 ms.
  mount(ociRuntime, ociRuntime, null, MS.BIND);
  setMountReadOnly(ociRuntime);
}

/** False when it has ended meanwhile. */
function enterMountsOf(holder: RecordedProcess): boolean {
  try {
    enterMounts(`/proc/${holder.pid}/ns/mnt`);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return false;
  }
}

/** crun refuses a machine that has both versions ("cgroups in hybrid mode not supported"). */
function showCgroup2Alone(): void {
  const unified = `${CGROUPS}/unified`;
  if (!existsSync(unified) || statfsSync(CGROUPS).type === CGROUP2_SUPER_MAGIC) return;
  mount(unified, CGROUPS, null, MS.BIND);
}

/** A writable view of `layers` (uppermost first); what is written lands in `upper`. */
export function mountOverlay(target: string, layers: readonly string[], upper: string, work: string): void {
  for (const dir of [target, upper, work]) makeFolder(dir, 0o755);
  const dirs = `lowerdir=${layers.join(':')},upperdir=${upper},workdir=${work}`;
  // Nobody reads the upper directory but this mount: nothing need be traceable, nor on disk when it is unmounted.
  const options = `${dirs},index=off,redirect_dir=off,metacopy=off`;
  try {
    mount('overlay', target, 'overlay', 0, `${options},volatile`);
  } catch (error) {
    if (!(error instanceof SysError && error.code === 'EINVAL')) throw error;
    // Linux before 5.10 knows no `volatile`.
    mount('overlay', target, 'overlay', 0, options);
  }
}

export function mountShm(target: string): void {
  if (mountPoints('tmpfs').includes(target)) return;
  makeFolder(target);
  mount('shm', target, 'tmpfs', MS.NOSUID | MS.NODEV | MS.NOEXEC, 'mode=1777,size=67108864');
}

/** Succeeds when nothing is mounted there. */
export function unmountIfMounted(target: string): void {
  try {
    unmount(target);
  } catch (error) {
    if (!(error instanceof SysError && (error.code === 'EINVAL' || error.code === 'ENOENT'))) throw error;
  }
}
