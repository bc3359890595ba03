// Room sys: folders made with all that lead to them, wherever they are to be.
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * As `mkdir -p`; `mode` is that of every folder made. Throws what node:fs does: ENOTDIR or EEXIST where a file is in the way. Node's own
 * `recursive` never returns in a file system like /proc, which says of any new name that its parent is not there.
 */
export function makeFolder(path: string, mode = 0o777): void {
  if (isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent, mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Made by somebody else in the meantime.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !isFolder(path)) throw error;
  }
}

/** Throws ENOTDIR where a file is on the way. */
function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
