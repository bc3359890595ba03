// Room kernel: connection tracking of a network namespace, over a NETLINK_NETFILTER socket.
import type { Family } from '../addr/ip.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import {
  CONNTRACK_GET,
  type ConntrackEntry,
  conntrackDumpBody,
  decodeEntry,
  type EntryFilter,
  encodeDelete,
  encodeEnd,
  familiesOf,
  inKernel,
  isAnswered,
  isEnding,
  matchesFilter,
} from '../wire/conntrack/entry.ts';
import type { NetlinkRequest } from '../wire/netlink/message.ts';
import { type ConntrackFilter, type FlowEnd, KernelError, type TrackedFlow } from './kernel.ts';
import type { ConntrackBackend, OpenConntrack } from './nft.ts';

export const openConntrack: OpenConntrack = (netns) => new LinuxConntrack(netns);

export interface SeenEntry extends ConntrackEntry {
  readonly isAnswered: boolean;
}

/** All entries of a namespace, for who wants to look and not to touch. */
export function readConntrack(netns: string): SeenEntry[] {
  const socket = new NetlinkSocket(NETLINK.NETFILTER, netns);
  try {
    return ([4, 6] as const).flatMap((family) => {
      const messages = socket.dump(dumpOf(family, {}));
      return messages.map(({ body }) => ({ ...decodeEntry(body), isAnswered: isAnswered(body) }));
    });
  } finally {
    socket.close();
  }
}

/** Telling of an entry costs ten times what passing it over does: from here on one walk that tells of all is less than one for each filter. */
const FEW_WALKS = 8;
/**
 * UDP, UDPLite. Were such an entry deleted, an answer under way would begin a flow the other way round, in which all that the client goes on
 * to send are answers, and pass. So the entry stays, and the rules for policies judge each of its packets anew, until no answer can be under way.
 */
const HAVE_NO_HANDSHAKE = [17, 136];
/** Less than with what the fast path takes a flow for known (docs/datapath.md). */
const END_SECONDS = 5;
/** Entries of one send(). */
const DELETIONS = 256;

class LinuxConntrack implements ConntrackBackend {
  readonly #netns: string | undefined;
  readonly #socket: NetlinkSocket;
  /** For dumps on other threads, both families' at once. */
  readonly #walkers = new Map<Family, NetlinkSocket>();

  constructor(netns: string | undefined) {
    this.#netns = netns;
    this.#socket = new NetlinkSocket(NETLINK.NETFILTER, netns);
  }

  /** The kernel can delete by exact tuple only. */
  flush(filters: readonly ConntrackFilter[]): number {
    let count = 0;
    for (const { family, filter } of walksOf(filters)) {
      const messages = this.#socket.dump(dumpOf(family, filter));
      const entries = messages.map(({ body }) => decodeEntry(body));
      count += this.#delete(entries.filter((entry) => filters.some((each) => matchesFilter(entry, each))));
    }
    return count;
  }

  async cut(ends: readonly FlowEnd[], doomed: (flow: TrackedFlow) => boolean): Promise<number> {
    const from = new Set(ends.map((each) => 'originalSrc' in each && each.originalSrc));
    const to = new Set(ends.map((each) => 'replySrc' in each && each.replySrc));
    const isDoomed = (flow: TrackedFlow) => (from.has(flow.original.src) || to.has(flow.reply.src)) && doomed(flow);
    const byFamily = Map.groupBy(walksOf(ends), ({ family }) => family);
    const counts = [...byFamily].map(([family, walks]) => this.#cutAlong(family, walks, isDoomed));
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  async #cutAlong(family: Family, walks: readonly Walk[], isDoomed: (flow: TrackedFlow) => boolean): Promise<number> {
    const walker = this.#walkers.get(family) ?? new NetlinkSocket(NETLINK.NETFILTER, this.#netns);
    this.#walkers.set(family, walker);
    let count = 0;
    for (const { filter } of walks) {
      for await (const messages of walker.dumpInPool(dumpOf(family, filter))) {
        const doomed = messages
          .map(({ body }) => ({ body, entry: decodeEntry(body) }))
          .filter(({ body, entry }) => !isEnding(body) && isDoomed(entry));
        const lingers = ({ entry }: (typeof doomed)[number]) => HAVE_NO_HANDSHAKE.includes(entry.original.protocol);
        const [ending, others] = [doomed.filter(lingers), doomed.filter((each) => !lingers(each))];
        count += this.#delete(others.map(({ entry }) => entry));
        count += this.#send(
          ending.map(({ body }) => encodeEnd(body, END_SECONDS)),
          ['ENOENT', 'EPERM'],
        );
      }
    }
    return count;
  }

  /** Returns how many there still were: others have timed out, or are new flows of the same ends by now. */
  #delete(entries: readonly ConntrackEntry[]): number {
    return this.#send(entries.map(encodeDelete), ['ENOENT']);
  }

  /** Returns how many were not refused with one of these codes. */
  #send(requests: readonly NetlinkRequest[], known: readonly string[]): number {
    let refused = 0;
    for (let i = 0; i < requests.length; i += DELETIONS) {
      for (const { code, text } of this.#socket.batch(requests.slice(i, i + DELETIONS))) {
        if (!known.includes(code)) throw new KernelError('conntrack delete', code, text);
        refused++;
      }
    }
    return requests.length - refused;
  }

  close(): void {
    this.#socket.close();
    for (const walker of this.#walkers.values()) walker.close();
  }
}

interface Walk {
  readonly family: Family;
  readonly filter: EntryFilter;
}

/** What to look for in the kernel's table so that nothing is missed of what the filters mean, with few looks. */
function walksOf(filters: readonly EntryFilter[]): Walk[] {
  const all = filters.flatMap((filter) =>
    familiesOf(filter).map((family): Walk => ({ family, filter: inKernel(family, filter) })),
  );
  const walks = different(all);
  if (walks.length <= FEW_WALKS) return walks;
  const protocols = new Set(filters.map(({ protocol }) => protocol));
  const [protocol] = protocols;
  const filter: EntryFilter = protocol && protocols.size === 1 ? { protocol } : {};
  return different(all.map(({ family }) => ({ family, filter })));
}

function different(walks: readonly Walk[]): Walk[] {
  return [...new Map(walks.map((walk) => [JSON.stringify(walk), walk])).values()];
}

function dumpOf(family: Family, filter: EntryFilter): NetlinkRequest {
  return { type: CONNTRACK_GET, flags: 0, body: conntrackDumpBody(family, filter) };
}
