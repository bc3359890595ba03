// Replaced files: the text is there whole, and nothing is left beside it.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { replaceFile, replaceFileSoon } from './durable-file.ts';

for (const replace of [replaceFile, replaceFileSoon]) {
  test(`${replace.name}: the new text takes the place of the old one`, () => {
    const dir = mkdtempSync(join(tmpdir(), 'pwt-'));
    try {
      for (const text of ['a long text', 'short']) replace(join(dir, 'record.json'), text);
      assert.equal(readFileSync(join(dir, 'record.json'), 'utf8'), 'short');
      assert.deepEqual(readdirSync(dir), ['record.json']);
      assert.throws(() => replace(join(dir, 'nowhere', 'record.json'), ''), { code: 'ENOENT' });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
}
