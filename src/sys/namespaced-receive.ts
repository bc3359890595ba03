// Room sys: recvmsg(2) that also tells from which other network namespace a netlink message came (netlink(7), NETLINK_LISTEN_ALL_NSID).
import { koffi, libc } from './ffi.ts';
import { SOL } from './socket.ts';

export const NETLINK_LISTEN_ALL_NSID = 8;

/** `struct msghdr` and `struct iovec` of 64-bit machines, and room for one control message. */
const MSGHDR = 56;
const IOVEC = 16;
const CONTROL = 64;
const CMSGHDR = 16;

const cRecvmsg = libc.func('int64_t recvmsg(int fd, uint8_t *header, int flags)');

/** The memory of one receiver, which hands each datagram's bytes to the same buffer. */
export class NamespacedReceive {
  readonly #memory = Buffer.allocUnsafeSlow(MSGHDR + IOVEC + CONTROL).fill(0);

  /** `into` must stay where it is: off the heap (Buffer.allocUnsafeSlow). */
  constructor(into: Buffer) {
    const base = koffi.address(this.#memory);
    this.#memory.writeBigUInt64LE(base + BigInt(MSGHDR), 16);
    this.#memory.writeBigUInt64LE(1n, 24);
    this.#memory.writeBigUInt64LE(base + BigInt(MSGHDR + IOVEC), 32);
    this.#memory.writeBigUInt64LE(koffi.address(into), MSGHDR);
    this.#memory.writeBigUInt64LE(BigInt(into.length), MSGHDR + 8);
  }

  /** Length of the datagram, or -1 with errno set. */
  receive(fd: number, flags: number): number {
    this.#memory.writeBigUInt64LE(BigInt(CONTROL), 40);
    return Number(cRecvmsg(fd, this.#memory, flags));
  }

  /** Of the last datagram: the other namespace's id in the socket's own; undefined when it came from there itself. */
  get nsid(): number | undefined {
    const length = Number(this.#memory.readBigUInt64LE(40));
    const at = MSGHDR + IOVEC;
    if (length < CMSGHDR + 4 || this.#memory.readInt32LE(at + 8) !== SOL.NETLINK) return undefined;
    if (this.#memory.readInt32LE(at + 12) !== NETLINK_LISTEN_ALL_NSID) return undefined;
    return this.#memory.readInt32LE(at + CMSGHDR);
  }
}
