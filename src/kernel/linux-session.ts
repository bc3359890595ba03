// Room kernel: the sockets of one apply(): one per namespace touched, with the link indexes learnt on the way.
import { closeSync } from 'node:fs';
import type { MAC } from '../addr/mac.ts';
import { SysError } from '../sys/ffi.ts';
import { NETLINK, NetlinkError, NetlinkSocket } from '../sys/netlink-socket.ts';
import { openNamespace } from '../sys/netns.ts';
import { decodeLink, getLink, type LinkState, linkIndexes } from '../wire/netlink/link.ts';
import type { NetlinkRequest } from '../wire/netlink/message.ts';
import type { KernelItem } from './items.ts';
import { KernelError } from './kernel.ts';

/** A request, and the item for whose sake it is made. */
export interface Step<T extends KernelItem = KernelItem> {
  readonly item: T;
  readonly request: NetlinkRequest;
}

export interface VethIndexes {
  readonly index: number;
  /** Of its far end, where that lives. */
  readonly peerIndex: number | undefined;
}

export interface Refusal<T extends KernelItem = KernelItem> {
  readonly item: T;
  readonly error: NetlinkError;
}

/** What was learnt of a namespace's links, by name. */
interface KnownLinks {
  /** Undefined: there is no such link. */
  readonly indexes: Map<string, number | undefined>;
  /** Of those that were made a moment ago. */
  readonly macs: Map<string, MAC>;
}

/** In every namespace. */
const LOOPBACK = ['lo', 1] as const;

/** One namespace during one apply(). */
export class NamespaceSession {
  readonly socket: NetlinkSocket;
  readonly #known: KnownLinks;

  constructor(socket: NetlinkSocket, known: KnownLinks) {
    this.socket = socket;
    this.#known = known;
  }

  /** Learns the indexes of all names at once. */
  resolve(names: Iterable<string>): void {
    const unknown = [...new Set(names)].filter((name) => !this.#known.indexes.has(name));
    if (unknown.length === 0) return;
    for (const [i, answer] of this.socket.ask(unknown.map((name) => getLink({ name }))).entries()) {
      const index = answer && !(answer instanceof NetlinkError) ? decodeLink(answer).index : undefined;
      this.#known.indexes.set(unknown[i]!, index);
    }
  }

  /** Only names that were resolved. */
  readonly index = (name: string): number | undefined => this.#known.indexes.get(name);

  macOf(name: string): MAC | undefined {
    return this.#known.macs.get(name) ?? this.link(name)?.mac;
  }

  link(name: string): LinkState | undefined {
    const [answer] = this.socket.ask([getLink({ name })]);
    return answer && !(answer instanceof NetlinkError) ? decodeLink(answer) : undefined;
  }

  /** `onMade` is given each veth that came to be, where the kernel tells. */
  run<T extends KernelItem>(steps: readonly Step<T>[], onMade?: (item: T, indexes: VethIndexes) => void): Refusal<T>[] {
    const refusals = this.socket.batch(
      steps.map((step) => step.request),
      onMade && ((message, at) => onMade(steps[at]!.item, linkIndexes(message))),
    );
    return refusals.map((error) => ({ item: steps[error.index]!.item, error }));
  }
}

/** The namespaces of one apply(), opened when first touched. */
export class Session implements Disposable {
  readonly #own: NetlinkSocket;
  /** Path of the kernel's own namespace; absent: the calling thread's. */
  readonly home: string | undefined;
  readonly #sessions = new Map<string | undefined, NamespaceSession>();
  readonly #fds = new Map<string, number>();
  readonly #known = new Map<string | undefined, KnownLinks>();

  constructor(own: NetlinkSocket, home: string | undefined) {
    this.#own = own;
    this.home = home;
  }

  /** Throws a KernelError (ENOENT) when the namespace is gone. */
  at(netns: string | undefined, item?: KernelItem): NamespaceSession {
    let session = this.#sessions.get(netns);
    if (!session) {
      const socket = netns === undefined ? this.#own : open(this.namespaceFd(netns, item), item);
      session = new NamespaceSession(socket, this.#knownIn(netns));
      this.#sessions.set(netns, session);
    }
    return session;
  }

  #knownIn(netns: string | undefined): KnownLinks {
    const known = this.#known.get(netns) ?? { indexes: new Map([LOOPBACK]), macs: new Map() };
    this.#known.set(netns, known);
    return known;
  }

  /** The link was made a moment ago: nobody need be asked for its index. Undefined: whoever needs it asks. */
  made(netns: string | undefined, name: string, index: number | undefined, mac?: MAC): void {
    const { indexes, macs } = this.#knownIn(netns);
    if (index === undefined) indexes.delete(name);
    else indexes.set(name, index);
    if (mac !== undefined) macs.set(name, mac);
  }

  /** Like at(), but undefined when the namespace is gone: nothing is left to remove there. */
  ifThere(netns: string | undefined): NamespaceSession | undefined {
    try {
      return this.at(netns);
    } catch (error) {
      if (error instanceof KernelError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** An fd of a namespace, open until the session ends. */
  namespaceFd(netns: string, item: KernelItem | undefined): number {
    let fd = this.#fds.get(netns);
    if (fd === undefined) {
      fd = asKernelError('open namespace', item, () => openNamespace(netns));
      this.#fds.set(netns, fd);
    }
    return fd;
  }

  [Symbol.dispose](): void {
    for (const [netns, session] of this.#sessions) if (netns !== undefined) session.socket.close();
    for (const fd of this.#fds.values()) closeSync(fd);
  }
}

function open(netns: number, item: KernelItem | undefined): NetlinkSocket {
  return asKernelError('open namespace', item, () => new NetlinkSocket(NETLINK.ROUTE, netns));
}

/** Runs `fn`; what the system refuses becomes a KernelError on the item. */
export function asKernelError<T>(operation: string, item: KernelItem | undefined, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw toKernelError(operation, item, error);
  }
}

export function toKernelError(operation: string, item: KernelItem | undefined, error: unknown): unknown {
  const code = codeOf(error);
  return code === undefined ? error : new KernelError(operation, code, undefined, item);
}

/** errno's name, of a system call of ours or of node:fs. */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof SysError) return error.code;
  if (!(error instanceof Error) || !('code' in error) || !('errno' in error)) return undefined;
  return String(error.code);
}

export function refused(operation: string, { item, error }: Refusal): KernelError {
  return new KernelError(operation, error.code, error.text, item);
}
