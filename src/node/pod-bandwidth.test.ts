// Which limits a pod's annotations set, and what is said of those that cannot be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podBandwidth } from './pod-bandwidth.ts';

function limits(annotations: Record<string, string>) {
  const metadata = { name: 'p', uid: 'u', resourceVersion: '1', creationTimestamp: '', annotations };
  return podBandwidth({ metadata });
}

test('each direction has its annotation, in bits a second, with room for a tenth of a second', () => {
  assert.deepEqual(limits({}), {});
  assert.deepEqual(limits({ 'kubernetes.io/ingress-bandwidth': '10M' }), { ingress: { rate: 10e6, burst: 1e6 } });
  assert.deepEqual(limits({ 'kubernetes.io/egress-bandwidth': '1k' }), { egress: { rate: 1000, burst: 524288 } });
  assert.deepEqual(limits({ 'kubernetes.io/ingress-bandwidth': '1Gi', 'kubernetes.io/egress-bandwidth': '1P' }), {
    ingress: { rate: 2 ** 30, burst: Math.round(2 ** 30 / 10) },
    egress: { rate: 1e15, burst: 1e14 },
  });
});

for (const [text, why] of [
  ['fast', /kubernetes\.io\/egress-bandwidth: "fast": quantities must match/],
  ['', /"": quantities must match/],
  ['10Mbit', /"10Mbit": quantities must match/],
  ['999', /"999": resource is unreasonably small \(< 1kbit\)/],
  ['-5M', /unreasonably small/],
  ['2P', /unreasonably large \(> 1Pbit\)/],
] as const) {
  test(`"${text}" is refused, and the message says why`, () => {
    assert.throws(() => limits({ 'kubernetes.io/egress-bandwidth': text }), { name: 'Fault', message: why });
  });
}
