// Room kernel: sysctls as they are, and which of them the kernel tells of when they change.
import { readFileSync, writeFileSync } from 'node:fs';
import { inNetns } from '../sys/netns.ts';
import type { Sysctl } from './items.ts';

/** Forwarding and rp_filter have notifications (RTM_NEWNETCONF); of all others nobody hears. */
export function isAnnounced({ key }: Sysctl): boolean {
  return /^net\/(ipv4\/(ip_forward|conf\/[^/]+\/(forwarding|rp_filter))|ipv6\/conf\/[^/]+\/forwarding)$/.test(key);
}

/** `home`: the namespace of items that name none; absent: the calling thread's. Undefined when there is no such sysctl. */
export function readSysctl(item: Sysctl, home?: string): string | undefined {
  return reaching(item.netns ?? home, () => {
    try {
      return readFileSync(`/proc/sys/${item.key}`, 'utf8').trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  });
}

export function writeSysctl(item: Sysctl, home?: string): void {
  reaching(item.netns ?? home, () => writeFileSync(`/proc/sys/${item.key}`, item.value, { flag: 'r+' }));
}

/** Sync on this very thread: /proc/sys/net shows the namespace of the thread that opens the file. */
function reaching<T>(netns: string | undefined, work: () => T): T {
  return netns === undefined ? work() : inNetns(netns, work);
}
