// Room node: thresholds and the rhythm of probes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nextTry, type ProbeSpec, stepProbe, UNPROBED } from './probe-state.ts';

/** `+` is a success, `-` a failure; the verdict after each. */
function verdicts(results: string, spec: ProbeSpec): string[] {
  let state = UNPROBED;
  return [...results].map((result) => {
    state = stepProbe(state, result === '+', spec);
    return state.verdict;
  });
}

describe('the verdict of a probe', () => {
  const cases: Record<string, [results: string, spec: ProbeSpec, expected: string]> = {
    'one success is enough by default': ['+', {}, 'success'],
    'three failures by default': ['---', {}, 'unknown unknown failure'],
    'failures must come in a row': ['--+--', {}, 'unknown unknown success success success'],
    'a failing container recovers': ['---+', {}, 'unknown unknown failure success'],
    'as often as successThreshold says': [
      '-+-++',
      { successThreshold: 2, failureThreshold: 1 },
      'failure failure failure failure success',
    ],
  };
  for (const [name, [results, spec, expected]] of Object.entries(cases)) {
    it(name, () => assert.equal(verdicts(results, spec).join(' '), expected));
  }
});

describe('the rhythm of a probe', () => {
  it('is quick in the first period, without counting, until the first verdict', () => {
    const rhythm = [1, 2, 3, 4, 5, 6].map((tries) => nextTry({ periodSeconds: 1 }, UNPROBED, tries));
    assert.deepEqual(
      rhythm.map(({ inMs }) => inMs),
      [25, 50, 100, 200, 400, 1000],
    );
    assert.deepEqual(
      rhythm.map(({ counts }) => counts),
      [false, false, false, false, false, true],
    );
  });

  it('is the period afterwards', () => {
    assert.deepEqual(nextTry({ periodSeconds: 3 }, { run: 1, verdict: 'success' }, 1), { inMs: 3000, counts: true });
    assert.deepEqual(nextTry({}, { run: 1, verdict: 'failure' }, 1), { inMs: 10_000, counts: true });
  });
});
