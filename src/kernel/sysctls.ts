// Room kernel: sysctls as they are, and which of them the kernel tells of when they change.
import { openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { closeOwned, own } from '../sys/descriptors.ts';
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

/** A namespace's own, which each pod wants anew: they stay open, as finding the file costs twenty times what writing does. */
export class KeptSysctls {
  readonly #home: string | undefined;
  readonly #fds = new Map<string, number>();

  constructor(home: string | undefined) {
    this.#home = home;
  }

  write({ key, value }: Sysctl): void {
    let fd = this.#fds.get(key);
    if (fd === undefined) {
      fd = own(reaching(this.#home, () => openSync(`/proc/sys/${key}`, 'r+')));
      this.#fds.set(key, fd);
    }
    writeSync(fd, value, 0);
  }

  close(): void {
    for (const fd of this.#fds.values()) closeOwned(fd);
    this.#fds.clear();
  }
}

/** Sync on this very thread: /proc/sys/net shows the namespace of the thread that opens the file. */
function reaching<T>(netns: string | undefined, work: () => T): T {
  return netns === undefined ? work() : inNetns(netns, work);
}
