// What the log makes of errors: a refusal in a line of its own words, a fault of ours with the place where it was.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

function logged(expression: string): Record<string, unknown> {
  const log = JSON.stringify(join(import.meta.dirname, 'log.ts'));
  const fault = JSON.stringify(join(import.meta.dirname, 'fault.ts'));
  const script = `import { logger } from ${log}; import { Fault } from ${fault}; logger('test').error({ err: ${expression} }, 'it failed');`;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  return (JSON.parse(stderr) as { err: Record<string, unknown> }).err;
}

test('a refusal has no stack, and says what refused it', () => {
  const told = logged("new Fault('no room', { cause: new Error('disk full') })");
  assert.deepEqual(told, { type: 'Fault', message: 'no room', cause: 'disk full' });
});

test('a fault of our own says where it was', () => {
  assert.match(String(logged("new TypeError('no such thing')")['stack']), /TypeError: no such thing\n +at /);
});
