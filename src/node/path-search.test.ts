// The search for the largest packet that passes: exact, and in few rounds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { largestBelow } from './path-search.ts';

test('whatever the way carries is found to the byte, in at most four rounds', async () => {
  const way = fc.tuple(fc.integer({ min: 1280, max: 65535 }), fc.integer({ min: 100, max: 65534 }));
  await fc.assert(
    fc.asyncProperty(way, async ([size, carries]) => {
      fc.pre(carries < size);
      let rounds = 0;
      const found = await largestBelow(size, async (sizes) => {
        rounds++;
        return sizes.filter((each) => each <= carries);
      });
      assert.equal(found, carries);
      assert.ok(rounds <= 5, `${rounds} rounds`);
    }),
  );
});

test('where nothing passes there is none', async () => {
  assert.equal(await largestBelow(1500, async () => []), 0);
});
