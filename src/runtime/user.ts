// Room runtime: who a container's process is: the spec's numbers, else the image's `USER`, looked up in the image's passwd.
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OciUser } from './oci-config.ts';
import type { ContainerSpec } from './runtime.ts';

/** Throws an Error as containerd words it when the image's user is not in its passwd. */
export function resolveUser(spec: ContainerSpec, rootfs: string): OciUser {
  const [name = '', group] = (spec.image.user || '0').split(':');
  const wanted = spec.user ? String(spec.user.uid) : name;
  const numeric = /^\d+$/.test(wanted);
  if (numeric && wanted === '0' && !spec.user && group === undefined) return { uid: 0, gid: 0, additionalGids: [] };
  const entry = rows(rootfs, 'etc/passwd').find((row) => row[numeric ? 2 : 0] === wanted);
  if (!numeric && !entry) throw new Error(`unable to find user ${wanted}: no matching entries in passwd file`);
  const uid = numeric ? Number(wanted) : Number(entry![2]);
  const groups = rows(rootfs, 'etc/group');
  const gid = spec.user?.gid ?? (spec.user ? undefined : groupId(group, groups)) ?? Number(entry?.[3] ?? 0);
  const memberOf = entry ? groups.filter((row) => row[3]?.split(',').includes(entry[0]!)) : [];
  const additionalGids = [
    ...new Set([...memberOf.map((row) => Number(row[2])), ...(spec.user?.supplementalGids ?? [])]),
  ];
  return { uid, gid, additionalGids };
}

function groupId(group: string | undefined, groups: readonly string[][]): number | undefined {
  if (group === undefined) return undefined;
  if (/^\d+$/.test(group)) return Number(group);
  const row = groups.find((candidate) => candidate[0] === group);
  if (!row) throw new Error(`unable to find group ${group}: no matching entries in group file`);
  return Number(row[2]);
}

/** An image's file may be a link that leads out of it: those are not followed. */
function rows(rootfs: string, path: string): string[][] {
  let fd: number;
  try {
    fd = openSync(join(rootfs, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return [];
  }
  try {
    const lines = readFileSync(fd, 'utf8').split('\n');
    return lines.map((line) => line.split(':'));
  } finally {
    closeSync(fd);
  }
}
