// Work in turn, a few at a time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartQueue } from './start-queue.ts';

test('no more than so many at once, in the order in which they came, also when some fail', async () => {
  const queue = new StartQueue(2);
  const order: number[] = [];
  let now = 0;
  let most = 0;
  const results = await Promise.allSettled(
    Array.from({ length: 9 }, (_, i) =>
      queue.run(async () => {
        order.push(i);
        most = Math.max(most, ++now);
        await new Promise((resolve) => setImmediate(resolve));
        now--;
        if (i % 3 === 0) throw new Error(`${i}`);
        return i;
      }),
    ),
  );
  assert.equal(most, 2);
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(
    results.map((each) => (each.status === 'fulfilled' ? each.value : String(each.reason))),
    ['Error: 0', 1, 2, 'Error: 3', 4, 5, 'Error: 6', 7, 8],
  );
  assert.equal(await queue.run(async () => 'free again'), 'free again');
});
