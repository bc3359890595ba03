// From how many nodes on the machine's limit of neighbours bites.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { neighbourRow } from './neighbour-check.ts';

test('the default limit is enough for 511 nodes: what they know of each other is not counted', () => {
  assert.deepEqual(neighbourRow(4, 511, 1024), {
    what: 'IPv4 neighbours of nodes',
    state: 'ok',
    detail: '1023 at most, of 1024',
  });
});

test('beyond it the check says what happens and what to do', () => {
  const { state, detail, mend } = neighbourRow(6, 600, 1024);
  assert.equal(state, 'low');
  assert.match(detail, /^600 nodes .* need 1201 entries, and net\.ipv6\.neigh\.default\.gc_thresh3 .* have 1024: /);
  assert.equal(mend, 'sysctl -w net.ipv6.neigh.default.gc_thresh3=2048');
  assert.equal(neighbourRow(6, 600, 2048).state, 'ok');
});
