// Room cluster: the one privilege that we need, and who it was that took it.
import { Fault } from '../observe/fault.ts';

export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new Fault('this needs root, for network namespaces and their state', { mend: 'run it with sudo' });
}

/** The user behind `sudo`, who will type kubectl without it. */
export function sudoUser(): { readonly uid: number; readonly gid: number } | undefined {
  const [uid, gid] = [process.env['SUDO_UID'], process.env['SUDO_GID']].map(Number);
  return Number.isInteger(uid) && Number.isInteger(gid) ? { uid: uid!, gid: gid! } : undefined;
}
