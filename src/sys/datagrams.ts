// Room sys: a UDP socket that takes and gives many datagrams in one system call each (recvmmsg, sendmmsg).
import { endianness } from 'node:os';
import { formatIP, type IP } from '../addr/ip.ts';
import { closeOwned, own } from './descriptors.ts';
import { koffi, lastErrno, libc, SysError } from './ffi.ts';
import { pollReadable } from './poll.ts';

/** Datagrams in one call. */
const BATCH = 64;
/** Calls in a row until other work of the thread has its turn. */
const ROUNDS = 16;
/** Bytes for each datagram: longer ones are cut. */
export const DATAGRAM_ROOM = 2048;
const MSG_DONTWAIT = 0x40;
const EINTR = 4;
const EAGAIN = 11;
const ENOSYS = 38;
const AF_INET6 = 10;
/** Sizes of struct mmsghdr and struct iovec on 64-bit machines, and of the larger sockaddr. */
const MMSGHDR = 64;
const IOVEC = 16;
const SOCKADDR = 28;
/** Between datagrams: what begins at multiples of 4096 shares a few lines of the CPU's cache. */
const CACHE_LINE = 64;
/** Fields of struct mmsghdr. */
const NAME = 0;
const NAMELEN = 8;
const IOV = 16;
const IOVLEN = 24;
const LENGTH = 56;

const cRecvmmsg = libc.func('int recvmmsg(int fd, void *messages, unsigned int count, int flags, void *timeout)');
const cSendmmsg = libc.func('int sendmmsg(int fd, void *messages, unsigned int count, int flags)');
const cSendto = libc.func(
  'int64_t sendto(int fd, const uint8_t *data, size_t length, int flags, const uint8_t *address, uint32_t size)',
);

/** Whom a datagram came from: a copy of the kernel's sockaddr, read when somebody asks. */
export class Sender {
  readonly address: Uint8Array;

  constructor(address: Uint8Array) {
    this.address = address;
  }

  get ip(): IP {
    return this.address[0] === AF_INET6 ? formatIP(this.address.slice(8, 24)) : formatIP(this.address.slice(4, 8));
  }

  get port(): number {
    return (this.address[2]! << 8) | this.address[3]!;
  }
}

/** The same memory as bytes and as words of four bytes. */
export interface PacketMemory {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

export interface DatagramHandler {
  /** Before the datagrams of one call, and after them. */
  begin(): void;
  end(): void;
  /**
   * A datagram stands in `memory` from `start` to `end`; its answer may be written from `answer` on, at most DATAGRAM_ROOM
   * bytes. Both begin with a word. Returns the answer's length; 0 for none, or none yet. What is wanted beyond the call is
   * copied; `from` makes a copy.
   */
  packet(memory: PacketMemory, start: number, end: number, answer: number, from: () => Sender): number;
}

export interface Datagrams {
  /** For an answer that comes later; lost when the socket's buffer is full, as datagrams may be. */
  send(packet: Uint8Array, to: Sender): void;
  close(): void;
}

/** Memory that stays where it is, so that what points into it is written once. Names, headers, iovecs and data of both directions. */
class Memory implements PacketMemory {
  readonly #pointer: unknown;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly view: DataView;
  readonly received: readonly Uint8Array[];
  readonly answers: readonly Uint8Array[];

  constructor(v6: boolean) {
    const size = nameAt(BATCH);
    this.#pointer = koffi.alloc('uint8_t', size);
    const memory = koffi.view(this.#pointer, size);
    this.bytes = new Uint8Array(memory).fill(0);
    this.words = new Int32Array(memory);
    this.view = new DataView(memory);
    const base = koffi.address(this.#pointer);
    const header = (slot: number) => this.bytes.subarray(slot * MMSGHDR);
    for (let slot = 0; slot < 2 * BATCH; slot++) {
      const at = slot * MMSGHDR;
      this.view.setBigUint64(at + NAME, base + BigInt(nameAt(slot % BATCH)), true);
      this.view.setUint32(at + NAMELEN, v6 ? 28 : 16, true);
      this.view.setBigUint64(at + IOV, base + BigInt(iovecAt(slot)), true);
      this.view.setUint32(at + IOVLEN, 1, true);
      this.view.setBigUint64(iovecAt(slot), base + BigInt(dataAt(slot)), true);
      this.view.setUint32(iovecAt(slot) + 8, DATAGRAM_ROOM, true);
    }
    this.received = Array.from({ length: BATCH }, (_, i) => header(i));
    this.answers = Array.from({ length: BATCH }, (_, i) => header(BATCH + i));
  }

  free(): void {
    koffi.free(this.#pointer);
  }
}

/** Slots up to BATCH are what was received, the others are the answers to it. */
const iovecAt = (slot: number) => 2 * BATCH * MMSGHDR + slot * IOVEC;
const dataAt = (slot: number) => 2 * BATCH * (MMSGHDR + IOVEC) + slot * (DATAGRAM_ROOM + CACHE_LINE);
const nameAt = (slot: number) => dataAt(2 * BATCH) + slot * SOCKADDR;

/** koffi closes a poll handle silently when it is collected. */
const watched = new Set<object>();

/**
 * Answers what comes in on a bound, non-blocking UDP socket, which is ours from now on. Throws a SysError (ENOSYS) where the
 * machine has no such calls or another layout of their structures; then the socket is still the caller's.
 */
export function serveDatagrams(fd: number, v6: boolean, handler: DatagramHandler): Datagrams {
  if (endianness() !== 'LE' || koffi.sizeof('void *') !== 8) throw new SysError('recvmmsg', ENOSYS);
  const socket = new BatchSocket(fd, v6, handler);
  const handle = pollReadable(fd, () => socket.read());
  watched.add(handle);
  own(fd);
  return {
    send: (packet, to) => socket.send(packet, to),
    close() {
      if (!watched.delete(handle)) return;
      handle.close();
      socket.close();
    },
  };
}

class BatchSocket {
  readonly #fd: number;
  readonly #handler: DatagramHandler;
  readonly #memory: Memory;
  readonly #nameLength: number;
  #open = true;
  #slot = 0;
  readonly #from = () => {
    const at = nameAt(this.#slot);
    return new Sender(this.#memory.bytes.slice(at, at + this.#nameLength));
  };

  constructor(fd: number, v6: boolean, handler: DatagramHandler) {
    this.#fd = fd;
    this.#handler = handler;
    this.#memory = new Memory(v6);
    this.#nameLength = v6 ? 28 : 16;
    try {
      // Once here, so that a kernel or sandbox without the call is found before anybody relies on it.
      if (cRecvmmsg(fd, this.#memory.received[0], 0, MSG_DONTWAIT, null) === -1 && lastErrno() !== EAGAIN) {
        throw new SysError('recvmmsg', lastErrno());
      }
    } catch (error) {
      this.#memory.free();
      throw error;
    }
  }

  read(): void {
    for (let round = 0; round < ROUNDS && this.#open; round++) {
      const count = cRecvmmsg(this.#fd, this.#memory.received[0], BATCH, MSG_DONTWAIT, null) as number;
      // Whatever else is wrong with a socket that is bound is told by the next call, or by nobody.
      if (count <= 0) return;
      this.#answer(count);
      if (count < BATCH) return;
    }
  }

  #answer(count: number): void {
    const memory = this.#memory;
    const { view } = memory;
    const handler = this.#handler;
    handler.begin();
    let first = 0;
    for (let slot = 0; slot < count; slot++) {
      const at = slot * MMSGHDR;
      const start = dataAt(slot);
      this.#slot = slot;
      const length = handler.packet(
        memory,
        start,
        start + view.getUint32(at + LENGTH, true),
        dataAt(BATCH + slot),
        this.#from,
      );
      // The kernel has written there how long the sender's address is: what it may be next time.
      view.setUint32(at + NAMELEN, this.#nameLength, true);
      if (length > 0) view.setUint32(iovecAt(BATCH + slot) + 8, length, true);
      else {
        this.#flush(first, slot);
        first = slot + 1;
      }
    }
    this.#flush(first, count);
    handler.end();
  }

  /** Sends the answers of these slots. One that the kernel refuses is passed over; a full buffer loses the rest. */
  #flush(first: number, end: number): void {
    for (let next = first; next < end && this.#open; ) {
      const sent = cSendmmsg(this.#fd, this.#memory.answers[next], end - next, MSG_DONTWAIT) as number;
      if (sent > 0) next += sent;
      else if (lastErrno() === EAGAIN) return;
      else if (lastErrno() !== EINTR) next++;
    }
  }

  send(packet: Uint8Array, { address }: Sender): void {
    if (this.#open) cSendto(this.#fd, packet, packet.length, MSG_DONTWAIT, address, address.length);
  }

  close(): void {
    this.#open = false;
    closeOwned(this.#fd);
    // Not now: who closes may be a handler, with its datagram and those after it still in there.
    setImmediate(() => this.#memory.free());
  }
}
