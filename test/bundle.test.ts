// The tree itself: what runs from the bundle is what runs from the source.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..');

function isCommonJs(name: string): boolean {
  const path = join(ROOT, 'node_modules', name, 'package.json');
  return (JSON.parse(readFileSync(path, 'utf8')) as { type?: string }).type !== 'module';
}

// esbuild gives such a package a default export and no names; Node gives it names too, so that only the bundle fails.
test('no CommonJS package is imported by import()', () => {
  for (const file of globSync('src/**/*.ts', { cwd: ROOT })) {
    const text = readFileSync(join(ROOT, file), 'utf8');
    for (const [, name] of text.matchAll(/\bimport\('((?:@[\w-]+\/)?[a-z][\w.-]*)'\)/g)) {
      assert.ok(!isCommonJs(name!), `${file} imports ${name}: let a module of ours import it, and import() that`);
    }
  }
});
