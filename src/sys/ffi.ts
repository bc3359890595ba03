// Room sys: libc through koffi, and errno as an exception. The only room that calls foreign functions.
import { constants } from 'node:os';
import koffi from 'koffi';

export const libc = koffi.load('libc.so.6');

/** A refused system call. `code` is errno's name. */
export class SysError extends Error {
  override name = 'SysError';
  readonly operation: string;
  readonly errno: number;
  readonly code: string;

  constructor(operation: string, errno: number, detail?: string) {
    const code = errnoName(errno);
    super(`${operation}: ${code}${detail ? ` (${detail})` : ''}`);
    this.operation = operation;
    this.errno = errno;
    this.code = code;
  }
}

/** Numbers of asm-generic/errno.h that Node does not name but netlink answers with. */
const MORE_ERRNO: Record<string, number> = { ENOTUNIQ: 76, ERESTART: 85, EUSERS: 87, EPFNOSUPPORT: 96, ESHUTDOWN: 108 };

const NAMES = new Map<number, string>();
for (const [name, number] of Object.entries({ ...constants.errno, ...MORE_ERRNO })) {
  // EAGAIN and EWOULDBLOCK, EOPNOTSUPP and ENOTSUP share a number: keep what the kernel's headers call it.
  if (name !== 'EWOULDBLOCK' && name !== 'ENOTSUP') NAMES.set(number, name);
}

export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** The result of a call that answers -1 on failure; throws a SysError that names the operation. */
export function check(result: number, operation: string, detail?: string): number {
  if (result === -1) throw new SysError(operation, koffi.errno(), detail);
  return result;
}

/** errno of the last failed call on this thread: read it before anything else runs. */
export function lastErrno(): number {
  return koffi.errno();
}

/** Runs `fn` until it is not interrupted by a signal. */
export function retryInterrupted(fn: () => number): number {
  for (;;) {
    const result = fn();
    if (result !== -1 || koffi.errno() !== constants.errno.EINTR) return result;
  }
}

export { koffi };
