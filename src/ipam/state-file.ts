// Room ipam: state files: replaced whole, synced to the disk, read where they may be gone.
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';

export function listIfThere(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir) : [];
}

/** Whole or not at all, for readers and over a crash of ours. */
export function replaceFile(path: string, text: string): void {
  const fresh = `${path}.${process.pid}.new`;
  writeFileSync(fresh, text, { mode: 0o600 });
  renameSync(fresh, path);
}

/** Of no importance: in place, with spaces over what was longer. ext4 writes a file out at once that was cut to nothing before. */
export function overwriteFile(path: string, text: string): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const bytes = Buffer.from(text.padEnd(fstatSync(fd).size));
    writeSync(fd, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(fd);
  }
}

/** On the disk; no matter that someone has removed it meanwhile. */
export function syncIfThere(path: string): void {
  try {
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

export function syncAll(paths: readonly string[]): void {
  for (const path of paths) syncIfThere(path);
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
