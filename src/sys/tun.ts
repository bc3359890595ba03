// Room sys: TUN devices: links whose packets a program reads and writes (linux/if_tun.h).
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { closeOwned, own } from './descriptors.ts';
import { check, libc } from './ffi.ts';
import { inNetns } from './netns.ts';
import { pollReadable } from './poll.ts';

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const IFF_TUN = 1;
/** Packets without a header of the driver's own. */
const IFF_NO_PI = 0x1000;
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;
const MAX_PACKET = 65_536;
/** Packets read in one turn of the event loop: the rest of the node must live too. */
const TURN = 64;

interface Ioctls {
  readonly withStruct: (fd: number, request: number, argument: Uint8Array) => number;
  readonly withNumber: (fd: number, request: number, argument: number) => number;
}

let ioctls: Ioctls | undefined;

/** Defined when first used: most nodes have no TUN. */
function ioctl(): Ioctls {
  ioctls ??= {
    withStruct: libc.func('int ioctl(int fd, unsigned long request, uint8_t *argument)'),
    withNumber: libc.func('ioctl', 'int', ['int', 'unsigned long', 'long']),
  };
  return ioctls;
}

function attach(name: string, netns: string | undefined): number {
  // A device is born in, and found by, the namespace of the thread that opens the file.
  const open = () => openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  const fd = netns === undefined ? open() : inNetns(netns, open);
  const ifreq = new Uint8Array(IFREQ_BYTES);
  ifreq.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
  new DataView(ifreq.buffer).setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI, true);
  try {
    check(ioctl().withStruct(fd, TUNSETIFF, ifreq), 'ioctl TUNSETIFF', name);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Makes the device, which stays when nobody reads it. EBUSY when somebody does. */
export function createTun(name: string, netns?: string): void {
  const fd = attach(name, netns);
  try {
    check(ioctl().withNumber(fd, TUNSETPERSIST, 1), 'ioctl TUNSETPERSIST', name);
  } finally {
    closeSync(fd);
  }
}

export interface Tun {
  /** A whole IP packet, as if it had come in over the link. */
  write(packet: Uint8Array): void;
  close(): void;
}

export interface TunReader {
  /** What is sent over the link: a view that is good for the call alone. */
  onPacket(packet: Buffer): void;
  /** Somebody removed the device; the Tun is closed. */
  onLost(): void;
}

/** EBUSY when another reads it. */
export function openTun(name: string, reader: TunReader, netns?: string): Tun {
  const fd = own(attach(name, netns));
  const buffer = Buffer.allocUnsafeSlow(MAX_PACKET);
  const handle = pollReadable(fd, () => {
    for (let i = 0; i < TURN && reading.has(handle); i++) {
      const length = tryNow(() => readSync(fd, buffer));
      if (length === undefined) return;
      if (length === LOST) {
        tun.close();
        return reader.onLost();
      }
      reader.onPacket(buffer.subarray(0, length));
    }
  });
  reading.add(handle);
  const tun: Tun = {
    write: (packet) => void tryNow(() => writeSync(fd, packet)),
    close() {
      if (!reading.delete(handle)) return;
      handle.close();
      closeOwned(fd);
    },
  };
  return tun;
}

const LOST = -1;

/** Undefined when there is nothing to read, no room, or the link is down or it is no packet: IP may lose them. */
function tryNow(io: () => number): number | undefined {
  try {
    return io();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EAGAIN' || code === 'EIO' || code === 'EINVAL') return undefined;
    if (code === 'EBADFD') return LOST;
    throw error;
  }
}

/** koffi closes a poll handle silently when it is collected. */
const reading = new Set<object>();
