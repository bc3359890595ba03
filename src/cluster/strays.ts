// Room cluster: what is left in a cluster's namespaces when no record tells of it: processes and pins, found in the kernel itself.
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { removeNamespace } from '../sys/netns.ts';
import { fabricNamespaces, podNamespaces } from './namespaces.ts';
import { gone, identityOf, type ProcessIdentity } from './pidfile.ts';

const PINS = '/run/netns';

/**
 * Ends whatever runs in the cluster's namespaces, by whichever way it came there. A namespace lives as long as its last
 * process does, and its pin is what tells whose it is: so this goes before anything is unpinned.
 */
export async function endProcesses(clusterName: string): Promise<void> {
  const inodes = new Set([...fabricNamespaces(clusterName), ...podNamespaces(clusterName)].flatMap(inodeOf));
  const inside = inodes.size > 0 ? processesIn(inodes) : [];
  for (const { pid } of inside) kill(pid);
  for (const each of inside) await gone(each);
}

/** Unpins the namespaces of pods that no record tells of. */
export function removePods(clusterName: string): void {
  for (const name of podNamespaces(clusterName)) removeNamespace(`${PINS}/${name}`);
}

function inodeOf(name: string): string[] {
  const inode = statSync(`${PINS}/${name}`, { throwIfNoEntry: false })?.ino;
  return inode === undefined ? [] : [`net:[${inode}]`];
}

/** With a thread there: a daemon's main thread is in the machine's own namespace, those of its nodes are not. */
function processesIn(inodes: ReadonlySet<string>): ProcessIdentity[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  return pids.flatMap((pid) => (isIn(pid, inodes) ? (identityOf(Number(pid)) ?? []) : []));
}

function isIn(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    return tasks.some((task) => inodes.has(readlinkSync(`/proc/${pid}/task/${task}/ns/net`)));
  } catch {
    // It has ended meanwhile.
    return false;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
