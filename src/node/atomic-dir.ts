// Room node: a directory of files that changes all at once: readers see the old files or the new ones, never a mixture.
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolder } from '../sys/folder.ts';
import type { VolumeFiles } from './volume-files.ts';

const DATA = '..data';

/**
 * Files lie in `..<time>`, `..data` points there, and each top-level name points into `..data`: one rename changes all,
 * as programs that watch ConfigMap volumes expect. Says whether anything changed. Safe to be killed at any line.
 */
export function writeAtomically(dir: string, files: VolumeFiles, gid?: number): boolean {
  makeFolder(dir, 0o755);
  const current = linkTarget(join(dir, DATA));
  if (current !== undefined && holds(join(dir, current), files)) {
    linkNames(dir, files);
    return false;
  }
  const fresh = mkdtempSync(join(dir, `..${new Date().toISOString().replaceAll(/[-:.]/g, '_')}.`));
  chmodSync(fresh, 0o755);
  for (const [path, { data, mode }] of files) {
    const file = join(fresh, path);
    makeFolder(dirname(file), 0o755);
    writeFileSync(file, data);
    chmodSync(file, gid === undefined ? mode : mode | ((mode & 0o700) >> 3));
    if (gid !== undefined) chownSync(file, -1, gid);
  }
  const temporary = join(dir, `${DATA}_tmp`);
  rmSync(temporary, { force: true });
  symlinkSync(fresh.slice(dir.length + 1), temporary);
  renameSync(temporary, join(dir, DATA));
  linkNames(dir, files);
  for (const name of readdirSync(dir)) {
    if (name.startsWith('..2') && join(dir, name) !== fresh) rmSync(join(dir, name), { recursive: true, force: true });
  }
  return true;
}

function linkNames(dir: string, files: VolumeFiles): void {
  const wanted = new Set([...files.keys()].map((path) => path.split('/')[0]!));
  const present = new Set(readdirSync(dir).filter((name) => !name.startsWith('..')));
  for (const name of wanted) if (!present.has(name)) symlinkSync(join(DATA, name), join(dir, name));
  for (const name of present) if (!wanted.has(name)) rmSync(join(dir, name), { force: true });
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function holds(dir: string, files: VolumeFiles): boolean {
  const present = listFiles(dir);
  if (present.length !== files.size) return false;
  return [...files].every(([path, { data }]) => {
    return present.includes(path) && Buffer.compare(readFileSync(join(dir, path)), data) === 0;
  });
}

function listFiles(dir: string): string[] {
  try {
    const names = readdirSync(dir, { recursive: true, encoding: 'utf8' });
    return names.filter((name) => statSync(join(dir, name)).isFile());
  } catch {
    return [];
  }
}
