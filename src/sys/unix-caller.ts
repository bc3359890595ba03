// Room sys: the calling end of a unix socket: a message with file descriptors attached (SCM_RIGHTS), which Node cannot send, and answers
// that are waited for. For programs that do one thing: it blocks.
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { check, koffi, libc, retryInterrupted } from './ffi.ts';
import { openSocket, SO, SOL, setSocketOption } from './socket.ts';

const AF_UNIX = 1;
const MSG_NOSIGNAL = 0x4000;
const SCM_RIGHTS = 1;
const MFD_CLOEXEC = 1;

const cConnect = libc.func('int connect(int fd, const uint8_t *address, uint32_t length)');
const cSendmsg = libc.func('int64_t sendmsg(int fd, const void *message, int flags)');
const cRecv = libc.func('int64_t recv(int fd, _Out_ uint8_t *buffer, size_t length, int flags)');
const cMemfd = libc.func('int memfd_create(const char *name, unsigned int flags)');

export class UnixCaller implements Disposable {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Undefined when nobody listens there. */
  static connect(path: string): UnixCaller | undefined {
    let dir: number;
    try {
      dir = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
    } catch {
      return undefined;
    }
    const fd = openSocket('unix', 'stream', 0, true);
    // Any length of path: the kernel's own limit is that of a name in an open directory.
    const address = Buffer.from(`\0\0/proc/self/fd/${dir}/${basename(path)}\0`);
    address.writeUInt16LE(AF_UNIX);
    const connected = retryInterrupted(() => cConnect(fd, address, address.length)) === 0;
    closeSync(dir);
    if (connected) return new UnixCaller(fd);
    closeSync(fd);
    return undefined;
  }

  /** Whole and at once; false when nobody is there any more. */
  send(bytes: Uint8Array, fds: readonly number[]): boolean {
    const message = messageOf(bytes, fds);
    try {
      return Number(cSendmsg(this.#fd, message.pointer, MSG_NOSIGNAL)) === bytes.length;
    } finally {
      message.free();
    }
  }

  /** Undefined when it does not come whole within so many seconds, or never. */
  receive(length: number, seconds: number): Buffer | undefined {
    setSocketOption(this.#fd, SOL.SOCKET, SO.RCVTIMEO, new Uint8Array(BigInt64Array.of(BigInt(seconds), 0n).buffer));
    const buffer = Buffer.alloc(length);
    return retryInterrupted(() => Number(cRecv(this.#fd, buffer, length, 0))) === length ? buffer : undefined;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** `struct msghdr` of 64-bit processors, its iovec, the control message and the bytes, side by side in memory that stays. */
const PLACE = { iov: 64, control: 96 };
const MSGHDR = { iov: 16, iovlen: 24, control: 32, controllen: 40 };
const CMSGHDR = { level: 8, type: 12, size: 16 };

function messageOf(bytes: Uint8Array, fds: readonly number[]): { readonly pointer: unknown; free(): void } {
  const controlLength = CMSGHDR.size + 4 * fds.length;
  const at = PLACE.control + 8 * Math.ceil(controlLength / 8);
  const pointer: unknown = koffi.alloc('uint8_t', at + bytes.length);
  const memory = Buffer.from(koffi.view(pointer, at + bytes.length));
  const address = koffi.address(pointer);
  memory.fill(0);
  memory.writeBigUInt64LE(address + BigInt(PLACE.iov), MSGHDR.iov);
  memory.writeBigUInt64LE(1n, MSGHDR.iovlen);
  memory.writeBigUInt64LE(address + BigInt(PLACE.control), MSGHDR.control);
  memory.writeBigUInt64LE(BigInt(controlLength), MSGHDR.controllen);
  memory.writeBigUInt64LE(address + BigInt(at), PLACE.iov);
  memory.writeBigUInt64LE(BigInt(bytes.length), PLACE.iov + 8);
  const control = memory.subarray(PLACE.control);
  control.writeBigUInt64LE(BigInt(controlLength));
  control.writeInt32LE(SOL.SOCKET, CMSGHDR.level);
  control.writeInt32LE(SCM_RIGHTS, CMSGHDR.type);
  for (const [i, fd] of fds.entries()) control.writeInt32LE(fd, CMSGHDR.size + 4 * i);
  memory.set(bytes, at);
  return { pointer, free: () => koffi.free(pointer) };
}

/** A file in memory alone. The caller's own to close. */
export function openMemoryFile(name: string): number {
  return check(cMemfd(name, MFD_CLOEXEC), 'memfd_create', name);
}
