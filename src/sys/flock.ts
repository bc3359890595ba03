// Room sys: an advisory lock on a file (flock(2)), which the kernel takes back from whoever dies.
import { closeSync, openSync } from 'node:fs';
import { check, libc, retryInterrupted } from './ffi.ts';

const LOCK_EX = 2;
const cFlock = libc.func('int flock(int fd, int operation)');

/**
 * Runs `fn` while holding the lock on the file at `path`, which is made when it is not there. Waits in the kernel's queue, asleep:
 * two hundred who ask again and again would keep the one who holds it from its work. Blocks the thread: for programs of one
 * request, and for work of a fraction of a millisecond.
 */
export function withFileLock<T>(path: string, fn: () => T): T {
  const fd = openSync(path, 'a', 0o600);
  try {
    check(
      retryInterrupted(() => cFlock(fd, LOCK_EX)),
      'flock',
      path,
    );
    return fn();
  } finally {
    closeSync(fd);
  }
}
