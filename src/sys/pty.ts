// Room sys: pseudo-terminals (pty(7)).
import { constants, openSync } from 'node:fs';
import { check, libc } from './ffi.ts';

/** asm-generic/ioctls.h; the same on x86 and arm64. */
const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;
const TIOCSWINSZ = 0x5414;

const cIoctlBytes = libc.func('ioctl', 'int', ['int', 'unsigned long', 'const uint8_t *']);
const cIoctlNumber = libc.func('ioctl', 'int', ['int', 'unsigned long', 'long']);

/** Both ends as fds; neither becomes anyone's controlling terminal. The caller owns them. */
export function openPty(): { master: number; slave: number } {
  const flags = constants.O_RDWR | constants.O_NOCTTY;
  const master = openSync('/dev/ptmx', flags);
  check(cIoctlBytes(master, TIOCSPTLCK, new Uint8Array(4)), 'ioctl TIOCSPTLCK');
  const slave = check(cIoctlNumber(master, TIOCGPTPEER, flags), 'ioctl TIOCGPTPEER');
  return { master, slave };
}

/** The kernel tells the foreground process group by SIGWINCH. */
export function setTerminalSize(fd: number, columns: number, rows: number): void {
  const size = new Uint8Array(Uint16Array.of(rows, columns, 0, 0).buffer);
  check(cIoctlBytes(fd, TIOCSWINSZ, size), 'ioctl TIOCSWINSZ');
}
