// Room kernel: deleting links off the calling thread: the kernel waits 16-20 ms for readers (RCU) in each deletion.
import { SysError } from '../sys/ffi.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { deleteLink, setLink } from '../wire/netlink/link.ts';

/** Links that are as good as gone: to be deleted, and left out of dumps. A number that nobody else picks. */
export const REMOVED_GROUP = 0x70770001;

const RETRY_MS = 1000;

/**
 * Collects what is removed in one turn of the event loop into a link group and deletes the group with one message on a pool
 * thread: 0.4 ms a link in hundreds, and none of it on ours.
 */
export class LinkRemoval {
  readonly #netns: string | undefined;
  #socket: NetlinkSocket | undefined;
  #pending = false;
  #running = false;

  constructor(netns: string | undefined) {
    this.#netns = netns;
  }

  /** Request that marks a link. Send it, then call start(). */
  mark(name: string) {
    return setLink({ name }, { group: REMOVED_GROUP });
  }

  start(): void {
    if (this.#pending || this.#closed) return;
    this.#pending = true;
    if (!this.#running) setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    if (!this.#pending || this.#running) return;
    this.#pending = false;
    this.#running = true;
    this.#socket ??= new NetlinkSocket(NETLINK.ROUTE, this.#netns);
    try {
      await this.#socket.requestInPool(deleteLink({ group: REMOVED_GROUP }));
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      // ENODEV: nothing is marked any more. Whatever else it was, the links are still there.
      if (error.code !== 'ENODEV') setTimeout(() => this.start(), RETRY_MS).unref();
    }
    this.#running = false;
    if (!this.#pending) this.#settle();
    if (!this.#closed) void this.#run();
  }

  #closed = false;
  #waiting: (() => void)[] = [];

  /** When nothing is marked any more. */
  settled(): Promise<void> {
    if (!this.#pending && !this.#running) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #settle(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Deletes now, on this thread, what is still marked. */
  flush(socket: NetlinkSocket): void {
    this.#pending = false;
    // ENODEV: nothing is marked any more.
    socket.batch([deleteLink({ group: REMOVED_GROUP })]);
    if (!this.#running) this.#settle();
  }

  close(): void {
    this.#closed = true;
    this.#socket?.close();
  }
}
