// Room objects: quantities.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareQuantities, formatBytes, formatMilli, milli, parseQuantity, scaledValue, units } from './quantity.ts';

const cases: [text: string | number, nano: bigint | undefined][] = [
  ['1', 1_000_000_000n],
  [2, 2_000_000_000n],
  ['100m', 100_000_000n],
  ['1.5', 1_500_000_000n],
  ['.5', 500_000_000n],
  ['5.', 5_000_000_000n],
  ['1Ki', 1024_000_000_000n],
  ['1.5Gi', 1_610_612_736_000_000_000n],
  ['2e3', 2_000_000_000_000n],
  ['2E', 2_000_000_000_000_000_000_000_000_000n],
  ['1E-2', 10_000_000n],
  ['-1m', -1_000_000n],
  ['0.1n', 1n],
  ['', undefined],
  ['.', undefined],
  ['1KB', undefined],
  ['1 Gi', undefined],
  ['1.2.3', undefined],
  ['0x10', undefined],
];

for (const [text, nano] of cases) {
  test(`${JSON.stringify(text)} is ${nano === undefined ? 'no quantity' : `${nano} billionths`}`, () => {
    assert.equal(parseQuantity(text), nano);
  });
}

test('CPU counts in thousandths and memory in bytes, rounded up', () => {
  assert.equal(milli('0.1'), 100);
  assert.equal(milli('1u'), 1);
  assert.equal(units('1500m'), 2);
  assert.equal(units('64Mi'), 64 * 2 ** 20);
  assert.throws(() => milli('lots'), RangeError);
});

test('quantities compare by value, however they are written', () => {
  assert.equal(compareQuantities('1000m', '1'), 0);
  assert.equal(compareQuantities('1G', '1Gi'), -1);
  assert.equal(compareQuantities('1Gi', '1G'), 1);
});

test('what is formatted reads back as the same value', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(30), (value, shift) => {
      const bytes = value * 2 ** Math.min(shift, 20);
      return units(formatBytes(bytes)) === bytes && milli(formatMilli(value)) === value;
    }),
  );
});

test('a percentage is a share of the total, rounded as asked', () => {
  assert.equal(scaledValue('25%', 3, 'up'), 1);
  assert.equal(scaledValue('25%', 3, 'down'), 0);
  assert.equal(scaledValue(2, 3, 'up'), 2);
  assert.throws(() => scaledValue('half', 3, 'up'), RangeError);
});
