// Room dns: what is kept is found with its own answers in turn, whatever came and went, until the oldest make room.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PacketStore } from './packet-store.ts';
import { wordMemory, wordsFor } from './packet-words.ts';

const memory = wordMemory(4096);
const TO = wordsFor(2048);

/** A question of any length, told apart by what follows its id. */
function question(number: number): Uint8Array {
  return Uint8Array.from({ length: 20 + (number % 7) }, (_, i) => (i < 2 ? 0 : (number * 31 + i) & 255));
}

function find(store: PacketStore, number: number): number {
  const asked = question(number);
  // What stands behind a question is another's.
  memory.bytes.fill(0xaa).set(asked);
  memory.bytes.set([0x12, 0x34]);
  return store.find(memory.words, 0, asked.length);
}

/** The answer whose turn it is, as it was put in; its id is checked. */
function give(store: PacketStore, record: number): Uint8Array {
  const length = store.give(record, memory.words, 0, TO);
  const answer = memory.bytes.slice(TO * 4, TO * 4 + length);
  assert.deepEqual([...answer.subarray(0, 2)], [0x12, 0x34]);
  return answer.fill(0, 0, 2);
}

const operation = fc.record({
  number: fc.nat(40),
  remove: fc.boolean(),
  lengths: fc.array(fc.integer({ min: 12, max: 300 }), { minLength: 1, maxLength: 4 }),
});

test('after any additions and removals each record gives its own answers, and gone is what was told to be', () => {
  fc.assert(
    fc.property(
      fc.array(operation, { minLength: 50, maxLength: 200 }),
      fc.constantFrom(1024, 4096, 8192),
      (operations, size) => {
        const kept = new Map<number, { number: number; answers: readonly Uint8Array[] }>();
        const store = new PacketStore(size, (record) => assert.ok(kept.delete(record)));
        for (const [step, { number, remove, lengths }] of operations.entries()) {
          const before = find(store, number);
          if (before !== 0) {
            store.remove(before);
            assert.ok(kept.delete(before));
          }
          if (!remove) {
            const answers = lengths.map((length, i) => new Uint8Array(length).fill(step + i + 1).fill(0, 0, 2));
            const record = store.add(question(number), answers, step);
            if (record !== 0) kept.set(record, { number, answers });
          }
          for (let other = 0; other <= 40; other++) {
            const record = find(store, other);
            assert.equal(kept.get(record)?.number, record === 0 ? undefined : other);
          }
        }
        for (const [record, { number, answers }] of kept) {
          assert.equal(find(store, number), record);
          for (const answer of [...answers, answers[0]!]) assert.deepEqual(give(store, record), answer);
        }
      },
    ),
    { numRuns: 100 },
  );
});
