// Heartbeats come back as they were written; whatever else comes in is passed over. And what a client's attempts say of a blackout.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Beat, decodeBeat, encodeBeat } from './beat.ts';
import { blackoutOf } from './blackout.ts';

const BEAT: Beat = {
  cluster: 'podwire',
  node: 'node-1',
  interval: 100,
  holds: { '172.30.0.200': 3, 'fd00::1000': 1 },
  wants: ['172.30.0.201'],
  yields: { '172.30.0.202': { to: 'node-2', epoch: 7 } },
};

test('a beat is read as it was written', () => {
  assert.deepEqual(decodeBeat(encodeBeat(BEAT)), BEAT);
  assert.deepEqual(decodeBeat(encodeBeat({ ...BEAT, bye: true })), { ...BEAT, bye: true });
});

test('nothing else is a beat', () => {
  const changed = (change: object) => decodeBeat(Buffer.from(JSON.stringify({ ...BEAT, ...change })));
  const wrong = [
    { node: 1 },
    { interval: 0 },
    { holds: { web: 1 } },
    { holds: { '172.30.0.200': -1 } },
    { wants: ['x'] },
    { yields: { '172.30.0.202': { to: 'node-2' } } },
    { bye: 'now' },
  ];
  for (const change of wrong) assert.equal(changed(change), undefined, JSON.stringify(change));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void decodeBeat(bytes)));
  fc.assert(fc.property(fc.json(), (text) => decodeBeat(Buffer.from(text)) === undefined));
});

test('a blackout is the longest time between two successes', () => {
  const at = (...times: number[]) => times.map((time) => ({ begun: time, connected: time + 1 }));
  assert.deepEqual(blackoutOf([...at(0, 10, 20), { begun: 30 }, { begun: 40 }, ...at(50, 60)]), {
    longestGapMs: 30,
    attempts: 7,
    failed: 2,
  });
  assert.deepEqual(blackoutOf([{ begun: 0 }]), { longestGapMs: 0, attempts: 1, failed: 1 });
});
