// Room ipam: state files brought to the disk, which somebody may remove meanwhile.
import { closeSync, fdatasyncSync, openSync } from 'node:fs';

/** On the disk; no matter that someone has removed it. */
export function syncAll(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      const fd = openSync(path, 'r');
      try {
        fdatasyncSync(fd);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
