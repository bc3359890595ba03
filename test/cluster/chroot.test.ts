// A chroot is no machine: whoever enters a mount namespace leaves it. It is refused with a sentence, and named by `podwire check`.
import assert from 'node:assert/strict';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { clusterSkip, Machine, PODWIRE } from './machine.ts';

/** Another root with all of the machine's folders in it, in a mount namespace of its own. Then the words. */
const IN_CHROOT = `
mount -t tmpfs tmpfs "$0"
for each in /*; do
  if [ -L "$each" ]; then cp -P "$each" "$0"
  elif [ -d "$each" ]; then mkdir "$0$each" && mount --rbind "$each" "$0$each"
  fi
done
exec chroot "$0" "$@"`;

test('up refuses a chroot before anything is made, and check says what is wrong', {
  skip: clusterSkip() ?? false,
}, async () => {
  await using machine = await Machine.create('chroot');
  const root = mkdtempSync(join(tmpdir(), 'pwt-root-'));
  const inside = (...words: string[]) =>
    machine.run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', IN_CHROOT, root, PODWIRE, ...words]);
  const { code, stderr } = await inside('up', '--nodes', '1');
  assert.equal(code, 1);
  assert.match(stderr, /this is a chroot: no cluster can run in it/);
  const check = await inside('check', '-o', 'json');
  const rows = JSON.parse(check.stdout) as { what: string; state: string }[];
  assert.equal(rows.find(({ what }) => what === 'root file system')?.state, 'missing');
  const outside = JSON.parse((await machine.run(PODWIRE, ['check', '-o', 'json'])).stdout) as typeof rows;
  assert.equal(outside.find(({ what }) => what === 'root file system')?.state, 'ok');
  assert.notEqual((await machine.podwire('status')).code, 0, 'nothing is there');
  rmdirSync(root);
});
