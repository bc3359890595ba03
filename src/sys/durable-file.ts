// Room sys: files replaced whole: readers see the old text or the new one, and after a crash of the machine too.
import { close, closeSync, fsync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** On the disk when it returns: some milliseconds. Throws what node:fs does. */
export function replaceFile(path: string, text: string): void {
  const fresh = `${path}.new`;
  const fd = openSync(fresh, 'w');
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, path);
  // The name is the folder's.
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Whole for readers when it returns, and on its way to the disk, for which nobody waits: a file that a crash has cut off must be expected. */
export function replaceFileSoon(path: string, text: string): void {
  const fresh = `${path}.new`;
  const fd = openSync(fresh, 'w');
  try {
    writeFileSync(fd, text);
    renameSync(fresh, path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  fsync(fd, () => close(fd));
}
