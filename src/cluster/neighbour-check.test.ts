// From how many nodes on the machine's limit of neighbours bites.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { neighbourRow } from './neighbour-check.ts';

test('the default limit is enough for 31 nodes that all speak with each other', () => {
  assert.deepEqual(neighbourRow(4, 31, 1024), {
    what: 'IPv4 neighbours of nodes',
    state: 'ok',
    detail: '992 at most, of 1024',
  });
});

test('beyond it the check says what happens and what to do', () => {
  const { state, detail, mend } = neighbourRow(6, 100, 1024);
  assert.equal(state, 'low');
  assert.match(detail, /^100 nodes .* need 10100 entries, and net\.ipv6\.neigh\.default\.gc_thresh3 .* have 1024: /);
  assert.equal(mend, 'sysctl -w net.ipv6.neigh.default.gc_thresh3=16384');
  assert.equal(neighbourRow(6, 100, 16384).state, 'ok');
});
