// Room cluster: what is read of the machine: resolvers, processes, programs.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { identityOf, runningFrom, writePidfile } from './pidfile.ts';
import { findProgram } from './programs.ts';
import { machineResolvers } from './resolvers.ts';

const folder = mkdtempSync(join(tmpdir(), 'podwire-facts-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test('resolvers come from the first file that names one, and what is no address is passed over', () => {
  const stub = file('stub', '# a comment\nsearch example.org\n');
  const real = file('real', 'nameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver nonsense\n');
  assert.deepEqual(machineResolvers([join(folder, 'absent'), stub, real]), ['192.0.2.53', '2001:db8::53']);
  assert.deepEqual(machineResolvers([stub]), []);
});

test('a pid file names its process only while that very process runs', () => {
  const path = join(folder, 'pid');
  writePidfile(path, process.pid);
  assert.equal(runningFrom(path)?.pid, process.pid);
  const { pid, startTime } = identityOf(process.pid)!;
  writeFileSync(path, JSON.stringify({ pid, startTime: String(Number(startTime) - 1) }));
  assert.equal(runningFrom(path), undefined, 'a pid that was given again is another process');
  writeFileSync(path, 'nonsense');
  assert.equal(runningFrom(path), undefined);
  assert.equal(runningFrom(join(folder, 'absent')), undefined);
});

test('programs are found on PATH', () => {
  assert.match(findProgram('sh') ?? '', /\/sh$/);
  assert.equal(findProgram('no-such-program-of-any-machine'), undefined);
});
