// Room sys: network, UTS and IPC namespaces: made, pinned to files that `ip netns` knows, entered, left.
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { closeOwned, own } from './descriptors.ts';
import { SysError } from './ffi.ts';
import { makeFolder } from './folder.ts';
import { CLONE, hasOwnMounts, inRootMounts, MS, mount, setns, unmount, unshare } from './mount.ts';
import { openSocket, type SocketDomain, type SocketType } from './socket.ts';

/** Where iproute2 keeps its names. */
export const NETNS_DIR = '/run/netns';

export function netnsPath(name: string): string {
  return `${NETNS_DIR}/${name}`;
}

export interface NamespacePaths {
  readonly net?: string;
  readonly uts?: string;
  readonly ipc?: string;
}

const NAMESPACES = [
  ['net', CLONE.NEWNET],
  ['uts', CLONE.NEWUTS],
  ['ipc', CLONE.NEWIPC],
] as const;

/** An fd of the network namespace to which this thread belongs; `inNetns` comes back to it. */
let homeFd: number | undefined;
/** The namespace that this thread visits by `inNetns`. */
let visitedFd: number | undefined;

function home(): number {
  homeFd ??= own(openSync('/proc/thread-self/ns/net', 'r'));
  return homeFd;
}

/**
 * Makes new namespaces and pins each to its path by a bind mount, in the machine's mount namespace (so that `ip netns` and
 * other threads find it, and so that it outlives us) and, where this thread has mounts of its own, in those too.
 * Throws a SysError with EEXIST when a path is pinned already. About 0.5 ms.
 */
export function createNamespaces(paths: NamespacePaths): void {
  const wanted = NAMESPACES.filter(([kind]) => paths[kind] !== undefined);
  for (const [kind] of wanted) {
    if (isPinned(paths[kind]!)) throw new SysError('create namespace', 17, paths[kind]);
  }
  home();
  const back = wanted.map(([kind, flag]) => [openSync(`/proc/thread-self/ns/${kind}`, 'r'), flag] as const);
  try {
    unshare(wanted.reduce((flags, [, flag]) => flags | flag, 0));
    const fds = wanted.map(([kind]) => [openSync(`/proc/thread-self/ns/${kind}`, 'r'), paths[kind]!] as const);
    for (const [fd, path] of fds) {
      pin(fd, path);
      closeSync(fd);
    }
  } finally {
    for (const [fd, flag] of back) {
      setns(fd, flag);
      closeSync(fd);
    }
  }
}

export function createNetns(path: string): void {
  createNamespaces({ net: path });
}

/** Gives the namespace behind an fd a place in the machine's mount namespace and this thread's own. */
export function pin(fd: number, path: string): void {
  const bind = () => {
    makeFolder(dirname(path));
    closeSync(openSync(path, 'a', 0o444));
    try {
      mount(`/proc/thread-self/fd/${fd}`, path, null, MS.BIND);
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    }
  };
  inRootMounts(bind);
  if (hasOwnMounts() && !isNamespace(path)) bind();
}

/** Whether a namespace is pinned at `path` in the machine's mount namespace. */
export function isPinned(path: string): boolean {
  return inRootMounts(() => isNamespace(path));
}

/** A namespace file lies on nsfs, an empty file that lost its mount on the directory's own file system. */
function isNamespace(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false });
  return file !== undefined && file.dev !== statSync(dirname(path)).dev;
}

/** Makes a namespace that someone else pinned visible at the same path among this thread's own mounts: for children that open it by path. */
export function exposeNamespace(path: string): void {
  if (!hasOwnMounts() || isNamespace(path)) return;
  const fd = openNamespace(path);
  try {
    mount(`/proc/thread-self/fd/${fd}`, path, null, MS.BIND);
  } finally {
    closeSync(fd);
  }
}

/** Takes the pin away; the namespace ends with its last process and socket. Succeeds when it is gone already. */
export function removeNamespace(path: string): void {
  if (hasOwnMounts()) unpin(path);
  inRootMounts(() => {
    unpin(path);
    try {
      unlinkSync(path);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'EBUSY') removeCovered(path);
      else if (code !== 'ENOENT') throw error;
    }
  });
}

/**
 * The first `ip netns add` of a machine binds the directory over itself with all that is mounted in it: each older pin then has
 * a twin below, out of reach and alive. Deleting the file from a mount namespace where the twin is off takes it off everywhere.
 */
function removeCovered(path: string): void {
  const script = 'until rm -f "$0" 2>/dev/null; do umount -l "$0" 2>/dev/null || umount -l "$1" || exit 1; done';
  execFileSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, path, dirname(path)]);
}

function unpin(path: string): void {
  while (isNamespace(path)) unmount(path);
}

/** An fd of the namespace pinned at `path`; the caller closes it. Also takes `/proc/<pid>/ns/net`. */
export function openNamespace(path: string): number {
  return path.startsWith('/proc/') ? openSync(path, 'r') : inRootMounts(() => openSync(path, 'r'));
}

/** Moves the calling thread for good: its later sockets and children live there. The main thread of a program should not. */
export function enterNetns(path: string): void {
  const fd = openNamespace(path);
  try {
    setns(fd, CLONE.NEWNET, path);
  } finally {
    closeSync(fd);
  }
  if (homeFd !== undefined) closeOwned(homeFd);
  homeFd = undefined;
  home();
}

/**
 * Runs `fn` with the calling thread in the namespace (its path, or an fd of it) and always comes back to where it was, also out
 * of a visit within a visit. Synchronous work only: what `fn` leaves to callbacks runs at home. Sockets opened and children
 * started inside stay inside.
 */
export function inNetns<T>(place: string | number, fn: () => T): T {
  if (typeof place === 'number') return visiting(place, `fd ${place}`, fn);
  const fd = openNamespace(place);
  try {
    return visiting(fd, place, fn);
  } finally {
    closeSync(fd);
  }
}

function visiting<T>(fd: number, name: string, fn: () => T): T {
  const outer = visitedFd;
  const back = outer ?? home();
  setns(fd, CLONE.NEWNET, name);
  visitedFd = fd;
  try {
    return fn();
  } finally {
    visitedFd = outer;
    setns(back, CLONE.NEWNET);
  }
}

/** A socket (non-blocking, close-on-exec) that belongs to the namespace; bind, listen and connect follow it. The caller owns the fd. */
export function socketIn(netns: string | undefined, domain: SocketDomain, type: SocketType, protocol = 0): number {
  if (netns === undefined) return openSocket(domain, type, protocol);
  return inNetns(netns, () => openSocket(domain, type, protocol));
}
