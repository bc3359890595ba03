// Room sys: a client of a unix socket that keeps packets apart (SOCK_SEQPACKET), which Node has no words for.
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { closeOwned, own } from './descriptors.ts';
import { check, lastErrno, libc, SysError } from './ffi.ts';
import { pollReadable } from './poll.ts';

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;
const SHUT_WR = 1;
const EAGAIN = 11;
const LARGEST = 64 * 1024;

const cSocket = libc.func('int socket(int domain, int type, int protocol)');
const cConnect = libc.func('int connect(int fd, const uint8_t *address, uint32_t length)');
const cRecv = libc.func('int64_t recv(int fd, uint8_t *buffer, size_t length, int flags)');
const cSend = libc.func('int64_t send(int fd, const uint8_t *buffer, size_t length, int flags)');
const cShutdown = libc.func('int shutdown(int fd, int how)');

export interface PacketSocket {
  /** False when the other side does not keep up: try again later. Throws a SysError when it is gone. */
  send(packet: Uint8Array): boolean;
  /** No more packets from us. */
  end(): void;
  close(): void;
}

export interface PacketHandler {
  packet(bytes: Buffer): void;
  /** Once, when the other side has closed. */
  closed(): void;
}

/** Any length of path: the kernel's own limit is that of a name in an open directory. Throws a SysError. */
export function connectPackets(path: string, handler: PacketHandler): PacketSocket {
  const fd = check(cSocket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket', 'unix seqpacket');
  const dir = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const name = Buffer.from(`\0\0/proc/self/fd/${dir}/${basename(path)}\0`);
    new Uint16Array(name.buffer, name.byteOffset, 1)[0] = AF_UNIX;
    check(cConnect(fd, name, name.length), 'connect', path);
  } catch (error) {
    closeSync(fd);
    throw error;
  } finally {
    closeSync(dir);
  }
  return watch(own(fd), handler);
}

/** koffi closes a poll handle silently when it is collected. */
const watched = new Set<object>();

function watch(fd: number, handler: PacketHandler): PacketSocket {
  const buffer = Buffer.alloc(LARGEST);
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    watched.delete(handle);
    handle.close();
    closeOwned(fd);
  };
  const read = () => {
    while (open) {
      const length = Number(cRecv(fd, buffer, buffer.length, 0));
      if (length > 0) handler.packet(Buffer.from(buffer.subarray(0, length)));
      else if (length < 0 && lastErrno() === EAGAIN) return;
      else {
        close();
        handler.closed();
      }
    }
  };
  const handle = pollReadable(fd, read);
  watched.add(handle);
  return {
    send(packet) {
      if (!open || Number(cSend(fd, packet, packet.length, MSG_NOSIGNAL)) >= 0) return open;
      if (lastErrno() === EAGAIN) return false;
      throw new SysError('send', lastErrno());
    },
    end: () => {
      if (open) cShutdown(fd, SHUT_WR);
    },
    close,
  };
}
