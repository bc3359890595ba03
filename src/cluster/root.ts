// Room cluster: the one privilege that we need, who it was that took it, and the root file system that we need with it.
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { Fault } from '../observe/fault.ts';

export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new Fault('this needs root, for network namespaces and their state', { mend: 'run it with sudo' });
}

export const CHROOT_MEND = 'a container of its own instead: systemd-nspawn, or unshare --mount and pivot_root';

/**
 * Whoever enters a mount namespace, as our threads do, leaves a chroot: they would work on the machine around it. What cannot be found
 * out is taken for sound.
 */
export function isChroot(): Promise<boolean> {
  const words = ['--mount=/proc/self/ns/mnt', 'stat', '-c', '%d:%i', '/'];
  const { dev, ino } = statSync('/');
  return new Promise((resolve) => {
    execFile('nsenter', words, (error, stdout) => resolve(!error && stdout.trim() !== `${dev}:${ino}`));
  });
}

/** The user behind `sudo`, who will type kubectl without it. */
export function sudoUser(): { readonly uid: number; readonly gid: number } | undefined {
  const [uid, gid] = [process.env['SUDO_UID'], process.env['SUDO_GID']].map(Number);
  return Number.isInteger(uid) && Number.isInteger(gid) ? { uid: uid!, gid: gid! } : undefined;
}
