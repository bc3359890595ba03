// Room sys: how overlayfs marks in an upper or lower directory what is hidden of the directories below it.
import { check, libc } from './ffi.ts';

const S_IFCHR = 0o020000;

/** A whiteout: the name is gone (a character device 0:0). */
export function markRemoved(path: string): void {
  const cMknod = libc.func('int mknod(const char *path, uint32_t mode, uint64_t device)');
  check(cMknod(path, S_IFCHR, 0), 'mknod', path);
}

/** An opaque directory: nothing of the same directory below shows through. */
export function markOpaque(dir: string): void {
  const cSetxattr = libc.func(
    'int lsetxattr(const char *path, const char *name, const char *value, size_t size, int flags)',
  );
  check(cSetxattr(dir, 'trusted.overlay.opaque', 'y', 1, 0), 'setxattr', dir);
}
