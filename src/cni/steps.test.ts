// What a call says of its time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Steps, tookText } from './steps.ts';

test('steps are told in their order, each with all of its parts, also when one fails', () => {
  const steps = new Steps();
  steps.add('wait', 1.234);
  assert.equal(
    steps.measure('ipam', () => 7),
    7,
  );
  assert.throws(() =>
    steps.measure('rules', () => {
      throw new Error('refused');
    }),
  );
  steps.add('wait', 2);
  assert.deepEqual(Object.keys(steps.took), ['wait', 'ipam', 'rules']);
  assert.equal(steps.took['wait'], 3.23);
});

test('people read the sum first', () => {
  assert.equal(tookText({ ipam: 0.25, interface: 1.91, rules: 1 }), '3.2 ms: ipam 0.3, interface 1.9, rules 1.0');
});
