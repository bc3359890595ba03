// Room sys: mounts, and mount namespaces of single threads.
import { closeSync, openSync, readFileSync } from 'node:fs';
import { closeOwned, own } from './descriptors.ts';
import { check, libc, SysError } from './ffi.ts';

export const MS = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  REMOUNT: 0x20,
  BIND: 0x1000,
  MOVE: 0x2000,
  REC: 0x4000,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
} as const;

const MNT_DETACH = 2;
export const CLONE = {
  FS: 0x200,
  NEWNS: 0x20000,
  NEWUTS: 0x4000000,
  NEWIPC: 0x8000000,
  NEWNET: 0x40000000,
} as const;

const cMount = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
const cUmount2 = libc.func('int umount2(const char *target, int flags)');
const cUnshare = libc.func('int unshare(int flags)');
const cSetns = libc.func('int setns(int fd, int nstype)');

/** mount(2). `type` and `data` are left out for bind mounts and changes of propagation. */
export function mount(source: string, target: string, type: string | null, flags: number, data?: string): void {
  check(cMount(source, target, type, flags, data ?? null), 'mount', `${source} on ${target}`);
}

/** Takes the topmost mount off `target`, at once from view and from the kernel when its last user is gone. */
export function unmount(target: string): void {
  check(cUmount2(target, MNT_DETACH), 'umount', target);
}

/** What happens to mounts made later on either side: `rprivate` none cross over, `rslave` those of the origin come here. */
export function setPropagation(target: string, propagation: 'rprivate' | 'rslave' | 'rshared'): void {
  const flag = { rprivate: MS.PRIVATE, rslave: MS.SLAVE, rshared: MS.SHARED }[propagation];
  mount('none', target, null, flag | MS.REC);
}

export function unshare(flags: number): void {
  check(cUnshare(flags), 'unshare');
}

export function setns(fd: number, nstype: number, detail?: string): void {
  check(cSetns(fd, nstype), 'setns', detail);
}

/** The namespace in which the process's main thread lives, which is the one that the machine's users see. */
let rootMountFd: number | undefined;
/** This thread's own, once it has one. */
let ownMountFd: number | undefined;

/** Whether this thread has left the mount namespace of the main thread. */
export function hasOwnMounts(): boolean {
  return ownMountFd !== undefined;
}

/**
 * Gives the calling thread (with its later children) a mount namespace of its own: private, so that no mount crosses over
 * in either direction. Pinned namespaces (`/run/netns/*` and their like) are taken off in the copy, else the copy would
 * keep them alive after everyone else has let go. Threads of libuv's pool stay outside: use sync fs, absolute paths.
 */
export function unshareMounts(): void {
  rootMountFd ??= own(openSync(`/proc/${process.pid}/ns/mnt`, 'r'));
  unshare(CLONE.NEWNS | CLONE.FS);
  setPropagation('/', 'rprivate');
  for (const target of mountPoints('nsfs').reverse()) unmountIfThere(target);
  ownMountFd = own(openSync('/proc/thread-self/ns/mnt', 'r'));
}

/** Somebody may take a name away at the same time: deleting the file ends its mounts everywhere. */
function unmountIfThere(target: string): void {
  try {
    unmount(target);
  } catch (error) {
    if (!(error instanceof SysError && (error.code === 'ENOENT' || error.code === 'EINVAL'))) throw error;
  }
}

/** Mount points of one file system type in the calling thread's namespace, in the order in which they were made. */
export function mountPoints(type: string): string[] {
  const points: string[] = [];
  for (const line of readFileSync('/proc/thread-self/mountinfo', 'utf8').split('\n')) {
    const [before, after] = line.split(' - ');
    if (after?.split(' ')[0] === type) points.push(unescapeOctal(before!.split(' ')[4]!));
  }
  return points;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Runs `fn` with the machine's view of the mounts, then comes back. Absolute paths only: it resets the working directory. */
export function inRootMounts<T>(fn: () => T): T {
  if (rootMountFd === undefined || ownMountFd === undefined) return fn();
  // A thread that was started from this one shares its working directory, and setns refuses while anyone does (EINVAL).
  unshare(CLONE.FS);
  setns(rootMountFd, CLONE.NEWNS);
  try {
    return fn();
  } finally {
    setns(ownMountFd, CLONE.NEWNS);
  }
}

/** Moves the calling thread for good into the mount namespace at `path`: `/proc/<pid>/ns/mnt`. */
export function enterMounts(path: string): void {
  rootMountFd ??= own(openSync(`/proc/${process.pid}/ns/mnt`, 'r'));
  const fd = openSync(path, 'r');
  try {
    unshare(CLONE.FS);
    setns(fd, CLONE.NEWNS, path);
  } finally {
    closeSync(fd);
  }
  if (ownMountFd !== undefined) closeOwned(ownMountFd);
  ownMountFd = own(openSync('/proc/thread-self/ns/mnt', 'r'));
}

/** A bind mount made read-only (a bind of its own is needed: the flag of the first mount call is ignored for binds). */
export function setMountReadOnly(target: string): void {
  mount('none', target, null, MS.REMOUNT | MS.BIND | MS.RDONLY);
}
