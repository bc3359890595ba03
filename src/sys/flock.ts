// Room sys: an advisory lock on a file (flock(2)), which the kernel takes back from whoever dies.
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { lastErrno, libc, SysError } from './ffi.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;
const cFlock = libc.func('int flock(int fd, int operation)');
const clock = new Int32Array(new SharedArrayBuffer(4));

/**
 * Runs `fn` while holding the lock on the file at `path`, which is made when it is not there. Throws a SysError (EAGAIN) when another
 * process has not let go within `patience` milliseconds.
 */
export function withFileLock<T>(path: string, patience: number, fn: () => T): T {
  const fd = openSync(path, 'a', 0o600);
  try {
    const end = performance.now() + patience;
    while (cFlock(fd, LOCK_EX | LOCK_NB) === -1) {
      const errno = lastErrno();
      if (errno !== constants.errno.EAGAIN && errno !== constants.errno.EINTR) throw new SysError('flock', errno, path);
      if (performance.now() > end) throw new SysError('flock', constants.errno.EAGAIN, path);
      // Held for a fraction of a millisecond: a short sleep, never the same for two who wait.
      Atomics.wait(clock, 0, 0, 0.2 + Math.random());
    }
    return fn();
  } finally {
    closeSync(fd);
  }
}
