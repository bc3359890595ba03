// Ranges of addresses as CIDR, as two ends, as one address.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressError } from './ip.ts';
import { addressesOf, parseRange, rangeContains, rangeSize, rangesOverlap } from './range.ts';

test('the three forms', () => {
  assert.deepEqual([...addressesOf(parseRange('10.0.0.6/30'))], ['10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.7']);
  assert.deepEqual([...addressesOf(parseRange('fd00::fffe-fd00::1:0'))], ['fd00::fffe', 'fd00::ffff', 'fd00::1:0']);
  assert.deepEqual([...addressesOf(parseRange('10.0.0.9'))], ['10.0.0.9']);
  assert.equal(rangeSize(parseRange('fd00::/64')), 1n << 64n);
});

test('membership and overlap are of one family', () => {
  const range = parseRange('10.0.0.200 - 10.0.0.250');
  assert.ok(rangeContains(range, '10.0.0.250'));
  assert.ok(!rangeContains(range, '10.0.0.251'));
  assert.ok(!rangeContains(range, 'fd00::1'));
  assert.ok(rangesOverlap(range, parseRange('10.0.0.192/27')));
  assert.ok(!rangesOverlap(range, parseRange('::a00:c8-::a00:fa')));
});

test('what is wrong is named', () => {
  for (const text of ['', 'web', '10.0.0.9-', '10.0.0.9-10.0.0.1', '10.0.0.1-fd00::1', '10.0.0.1-2-3', '10.0.0.0/33']) {
    assert.throws(() => parseRange(text), AddressError, text);
  }
});
