// Room kernel: connection tracking of a network namespace, over a NETLINK_NETFILTER socket.
import { familyOf } from '../addr/ip.ts';
import { SysError } from '../sys/ffi.ts';
import { NETLINK, type NetlinkError, NetlinkSocket } from '../sys/netlink-socket.ts';
import {
  CONNTRACK_GET,
  type ConntrackEntry,
  conntrackDumpBody,
  decodeEntry,
  encodeDelete,
  isAnswered,
  matchesFilter,
} from '../wire/conntrack/entry.ts';
import { type ConntrackFilter, KernelError, type TrackedFlow } from './kernel.ts';
import type { ConntrackBackend, OpenConntrack } from './nft.ts';

export const openConntrack: OpenConntrack = (netns) => new LinuxConntrack(new NetlinkSocket(NETLINK.NETFILTER, netns));

export interface SeenEntry extends ConntrackEntry {
  readonly isAnswered: boolean;
}

/** All entries of a namespace, for who wants to look and not to touch. */
export function readConntrack(netns: string): SeenEntry[] {
  const socket = new NetlinkSocket(NETLINK.NETFILTER, netns);
  try {
    return ([4, 6] as const).flatMap((family) => {
      const messages = socket.dump({ type: CONNTRACK_GET, flags: 0, body: conntrackDumpBody(family) });
      return messages.map(({ body }) => ({ ...decodeEntry(body), isAnswered: isAnswered(body) }));
    });
  } finally {
    socket.close();
  }
}

class LinuxConntrack implements ConntrackBackend {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** One dump for all filters of a family: the kernel can delete by exact tuple only. */
  flush(filters: readonly ConntrackFilter[]): number {
    const stale = ([4, 6] as const).flatMap((family) => {
      const wanted = filters.filter(({ originalDst, replySrc }) => {
        const address = originalDst ?? replySrc;
        return address === undefined || familyOf(address) === family;
      });
      if (wanted.length === 0) return [];
      return this.#dump(family).filter((entry) => wanted.some((filter) => matchesFilter(entry, filter)));
    });
    return stale.filter((entry) => this.#delete(entry)).length;
  }

  cut(doomed: (flow: TrackedFlow) => boolean): number {
    const entries = ([4, 6] as const).flatMap((family) => this.#dump(family));
    return entries.filter((entry) => doomed(entry) && this.#delete(entry)).length;
  }

  #dump(family: 4 | 6): ConntrackEntry[] {
    const messages = this.#socket.dump({ type: CONNTRACK_GET, flags: 0, body: conntrackDumpBody(family) });
    return messages.map(({ body }) => decodeEntry(body));
  }

  /** False when it was gone already, timed out or replaced by a new flow. */
  #delete(entry: ConntrackEntry): boolean {
    try {
      this.#socket.request(encodeDelete(entry));
      return true;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      if (error.code === 'ENOENT') return false;
      throw new KernelError('conntrack delete', error.code, (error as NetlinkError).text);
    }
  }

  close(): void {
    this.#socket.close();
  }
}
