// Room sys: a unix socket on which one listens for messages with file descriptors attached (SCM_RIGHTS), which Node cannot receive.
import { chmodSync, closeSync, constants, openSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { closeOwned, own } from './descriptors.ts';
import { check, koffi, lastErrno, libc } from './ffi.ts';
import { type PollHandle, pollReadable } from './poll.ts';
import { bindRaw, openSocket } from './socket.ts';

const AF_UNIX = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const EAGAIN = 11;
const BACKLOG = 4096;

const cListen = libc.func('int listen(int fd, int backlog)');
const cAccept = libc.func('int accept4(int fd, void *address, void *length, int flags)');
const cRecvmsg = libc.func('int64_t recvmsg(int fd, void *message, int flags)');
const cSend = libc.func('int64_t send(int fd, const uint8_t *buffer, size_t length, int flags)');

export interface UnixPeer {
  /** False when nobody is there any more, or does not take it. */
  send(bytes: Uint8Array): boolean;
  close(): void;
}

export interface UnixMessage {
  readonly bytes: Buffer;
  /** The receiver's own to close; children do not inherit them. */
  readonly fds: readonly number[];
}

/** Told of each part of what a peer sends, and of its end with undefined. Says whether more is awaited: if not, nobody listens to it any longer. */
export type OnMessage = (peer: UnixPeer, message: UnixMessage | undefined) => boolean;

/**
 * For root alone (mode 0600). What a dead listener has left at the path is replaced. close() leaves those alone of whom no more is
 * awaited: they are answered yet. Throws a SysError.
 */
export function listenUnix(path: string, onMessage: OnMessage): { close(): void } {
  const fd = openSocket('unix', 'stream');
  try {
    rmSync(path, { force: true });
    bindAt(fd, path);
    chmodSync(path, 0o600);
    check(cListen(fd, BACKLOG), 'listen', path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const peers = new Set<Peer>();
  const handle = pollReadable(fd, () => {
    for (let peer = accept(fd); peer !== undefined; peer = accept(fd)) {
      const accepted = new Peer(peer, onMessage, () => peers.delete(accepted));
      peers.add(accepted);
      accepted.start();
    }
  });
  watched.add(handle);
  own(fd);
  return {
    close() {
      if (!watched.delete(handle)) return;
      handle.close();
      closeOwned(fd);
      rmSync(path, { force: true });
      for (const peer of peers) if (peer.isAwaited) peer.close();
    },
  };
}

/** Any length of path: the kernel's own limit is that of a name in an open directory. */
function bindAt(fd: number, path: string): void {
  const dir = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const name = Buffer.from(`\0\0/proc/self/fd/${dir}/${basename(path)}\0`);
    name.writeUInt16LE(AF_UNIX);
    bindRaw(fd, name);
  } finally {
    closeSync(dir);
  }
}

function accept(fd: number): number | undefined {
  const peer = cAccept(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return peer < 0 ? undefined : peer;
}

/** koffi closes a poll handle silently when it is collected. */
const watched = new Set<object>();

class Peer implements UnixPeer {
  readonly #fd: number;
  readonly #onMessage: OnMessage;
  readonly #onClose: () => void;
  #handle: PollHandle | undefined;
  #open = true;
  isAwaited = true;

  constructor(fd: number, onMessage: OnMessage, onClose: () => void) {
    this.#fd = own(fd);
    this.#onMessage = onMessage;
    this.#onClose = onClose;
  }

  /** Who connects usually has sent all by now: that costs no turn of the event loop, and nothing to watch for. */
  start(): void {
    if (!this.#read() || !this.#open) return;
    const handle = pollReadable(this.#fd, () => {
      if (!this.#read()) this.#rest();
    });
    this.#handle = handle;
    watched.add(handle);
  }

  /** False when nothing more will come. */
  #read(): boolean {
    while (this.#open) {
      const message = receive(this.#fd);
      if (message === 'nothing') return true;
      this.isAwaited = this.#onMessage(this, message);
      if (!this.isAwaited) return false;
    }
    return false;
  }

  send(bytes: Uint8Array): boolean {
    return this.#open && Number(cSend(this.#fd, bytes, bytes.length, MSG_NOSIGNAL)) === bytes.length;
  }

  #rest(): void {
    if (!this.#handle || !watched.delete(this.#handle)) return;
    this.#handle.close();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#rest();
    closeOwned(this.#fd);
    this.#onClose();
  }
}

/** `struct msghdr` of 64-bit processors, its iovec, what it receives, and its control message, side by side in stable memory. */
const PLACE = { iov: 64, bytes: 128, control: 128 + 65_536 };
const LARGEST = PLACE.control - PLACE.bytes;
const CONTROL_BYTES = 64;
const FIELD = { iov: 16, iovlen: 24, control: 32, controllen: 40, flags: 48 };
const CMSG_HEADER = 16;

function receiver(): { readonly memory: Buffer; readonly pointer: unknown } {
  const size = PLACE.control + CONTROL_BYTES;
  const pointer: unknown = koffi.alloc('uint8_t', size);
  const memory = Buffer.from(koffi.view(pointer, size));
  const address = koffi.address(pointer);
  memory.fill(0);
  memory.writeBigUInt64LE(address + BigInt(PLACE.iov), FIELD.iov);
  memory.writeBigUInt64LE(1n, FIELD.iovlen);
  memory.writeBigUInt64LE(address + BigInt(PLACE.control), FIELD.control);
  memory.writeBigUInt64LE(address + BigInt(PLACE.bytes), PLACE.iov);
  memory.writeBigUInt64LE(BigInt(LARGEST), PLACE.iov + 8);
  return { memory, pointer };
}

let shared: ReturnType<typeof receiver> | undefined;

function receive(fd: number): UnixMessage | 'nothing' | undefined {
  shared ??= receiver();
  const { memory, pointer } = shared;
  memory.writeBigUInt64LE(BigInt(CONTROL_BYTES), FIELD.controllen);
  const length = Number(cRecvmsg(fd, pointer, MSG_CMSG_CLOEXEC));
  if (length < 0) {
    if (lastErrno() === EAGAIN) return 'nothing';
    // A peer that closed without hearing us out.
    return undefined;
  }
  const fds = fdsIn(memory.subarray(PLACE.control, PLACE.control + Number(memory.readBigUInt64LE(FIELD.controllen))));
  if (length === 0) {
    for (const each of fds) closeSync(each);
    return undefined;
  }
  return { bytes: Buffer.from(memory.subarray(PLACE.bytes, PLACE.bytes + length)), fds };
}

/** Our control buffer holds one control message. */
function fdsIn(control: Buffer): number[] {
  if (control.length < CMSG_HEADER) return [];
  const length = Number(control.readBigUInt64LE(0));
  if (control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_RIGHTS) return [];
  const count = Math.floor((length - CMSG_HEADER) / 4);
  return Array.from({ length: count }, (_, i) => control.readInt32LE(CMSG_HEADER + i * 4));
}
