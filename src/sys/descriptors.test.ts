// What a thread holds when it dies is closed by whoever started it, and nothing else.
import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { closeLeftOpen, createDescriptorTable } from './descriptors.ts';

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

test('what a dead thread owned is closed, what it closed itself is nobody else’s loss', async () => {
  const table = createDescriptorTable();
  const room = JSON.stringify(join(import.meta.dirname, 'descriptors.ts'));
  const script = `
    const { openSync } = require('node:fs');
    const { parentPort, workerData } = require('node:worker_threads');
    import(${room}).then(({ closeOwned, own, writeDescriptorsTo }) => {
      writeDescriptorsTo(workerData);
      const [kept, closed] = [own(openSync('/dev/null', 'r')), own(openSync('/dev/null', 'r'))];
      const plain = openSync('/dev/null', 'r');
      closeOwned(closed);
      parentPort.postMessage({ kept, closed, plain });
      setImmediate(() => { throw new Error('dies'); });
    });`;
  const worker = new Worker(script, { eval: true, workerData: table, trackUnmanagedFds: false });
  worker.on('error', () => {});
  const exited = new Promise((resolve) => worker.once('exit', resolve));
  const fds = await new Promise<{ kept: number; plain: number }>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('exit', () => reject(new Error('it died before it began')));
  });
  await exited;
  // The number that was given back is somebody else's now.
  const others = openSync('/dev/null', 'r');
  assert.equal(isOpen(fds.kept), true);
  assert.equal(closeLeftOpen(table), 1);
  assert.equal(isOpen(fds.kept), false);
  assert.equal(isOpen(others), true);
  assert.equal(closeLeftOpen(table), 0);
  for (const fd of [others, fds.plain]) closeSync(fd);
});
