// Room controllers: the promises of the work queue.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '../objects/status.ts';
import { createQueue } from './queue.ts';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

test('a key that is added many times runs once, before any timer', async () => {
  const runs: string[] = [];
  const queue = createQueue('test', async (key) => void runs.push(key));
  queue.add('a');
  queue.add('b');
  queue.add('a');
  await tick();
  assert.deepEqual(runs, ['a', 'b']);
});

test('a key that is added while it runs runs once more, never beside itself', async () => {
  let release = () => {};
  let inside = 0;
  let most = 0;
  let runs = 0;
  const queue = createQueue('test', async () => {
    runs++;
    most = Math.max(most, ++inside);
    if (runs === 1) await new Promise<void>((resolve) => (release = resolve));
    inside--;
  });
  queue.add('a');
  await tick();
  queue.add('a');
  queue.add('a');
  await tick();
  assert.equal(runs, 1);
  release();
  await tick();
  assert.deepEqual([runs, most], [2, 1]);
});

test('no more keys run at once than there are workers, and every key gets its turn', async () => {
  let inside = 0;
  let most = 0;
  const seen = new Set<string>();
  const sync = async (key: string) => {
    most = Math.max(most, ++inside);
    await tick();
    seen.add(key);
    inside--;
  };
  const queue = createQueue('test', sync, { workers: 3 });
  for (let i = 0; i < 20; i++) queue.add(`k${i}`);
  while (seen.size < 20) await tick();
  assert.equal(most, 3);
});

test('a key that fails is tried again until it succeeds', async () => {
  let runs = 0;
  const done = Promise.withResolvers<void>();
  const queue = createQueue(
    'test',
    async () => {
      if (++runs < 4) throw failure(409, 'Conflict', 'another writer was first');
      done.resolve();
    },
    { firstRetryMs: 1 },
  );
  queue.add('a');
  await done.promise;
  assert.equal(runs, 4);
});

test('of several delays for one key the earliest counts, and none fires after close', async () => {
  const ran = Promise.withResolvers<void>();
  let runs = 0;
  const queue = createQueue('test', async () => {
    runs++;
    ran.resolve();
  });
  queue.addAfter('a', 60_000);
  queue.addAfter('a', 1);
  const alive = setInterval(() => {}, 1000);
  await ran.promise;
  queue.addAfter('a', 1);
  queue.close();
  queue.add('a');
  await new Promise((resolve) => setTimeout(resolve, 5));
  clearInterval(alive);
  assert.equal(runs, 1);
});
