// The tree itself: package-lock.json is whole, so that `npm ci` on a clean clone takes it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly integrity?: string;
  readonly resolved?: string;
}

const lock = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package-lock.json'), 'utf8')) as {
  readonly packages: Readonly<Record<string, LockedPackage>>;
};

// A registry that lags behind leaves packages of other platforms out of the lock, silently; `npm ci` then refuses it.
test('every package that a locked package asks for is locked too, with its hash', () => {
  for (const [path, { dependencies, optionalDependencies, integrity }] of Object.entries(lock.packages)) {
    if (path !== '') assert.ok(integrity, `${path} has no integrity`);
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      assert.ok(isLocked(path, name), `${path || 'package.json'} asks for ${name}, which is not in package-lock.json`);
    }
  }
});

test('the lock names no registry: each machine uses its own', () => {
  for (const [path, { resolved }] of Object.entries(lock.packages)) assert.equal(resolved, undefined, path);
});

/** As Node resolves: in the package's own node_modules, or in one above. */
function isLocked(from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, folder.lastIndexOf('/node_modules/'))) {
    if (`${folder}/node_modules/${name}`.replace(/^\//, '') in lock.packages) return true;
    if (!folder.includes('/node_modules/')) return `node_modules/${name}` in lock.packages;
  }
}
