// Folders: all on the way are made, what stands in the way is named, and no file system makes it hang.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from './folder.ts';

test('makeFolder: as mkdir -p, relative ones and through links too', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pwt-'));
  try {
    makeFolder(join(dir, 'a', 'b', 'c'), 0o700);
    makeFolder(join(dir, 'a', 'b', 'c'), 0o755);
    for (const path of ['a', 'a/b', 'a/b/c']) assert.equal(statSync(join(dir, path)).mode & 0o777, 0o700);
    symlinkSync('a', join(dir, 'link'));
    makeFolder(`${dir}/link/../link/d/`);
    assert.ok(statSync(join(dir, 'a', 'd')).isDirectory());
    makeFolder('.');
    makeFolder('/');
    writeFileSync(join(dir, 'file'), '');
    assert.throws(() => makeFolder(join(dir, 'file')), { code: 'EEXIST' });
    assert.throws(() => makeFolder(join(dir, 'file', 'x', 'y')), { code: /ENOTDIR|EEXIST/ });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('makeFolder: /proc has no room for folders', () => {
  assert.throws(() => makeFolder('/proc/no-such/folder'), { code: 'ENOENT' });
});
