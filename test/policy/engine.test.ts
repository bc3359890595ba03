// The engine and the text of the API agree, on whatever cluster, however it came to be what it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PolicyEngine } from '../../src/plan/policy/engine.ts';
import { type Flow, judge } from '../../src/plan/policy/judge.ts';
import { allowedByReference, type World } from './reference.ts';
import { engineOf, step, take } from './steps.ts';
import { flow, world } from './worlds.ts';

const RUNS = Number(process.env['PODWIRE_POLICY_RUNS'] ?? 1000);

test('any cluster, any flow: the engine says what the API says', () => {
  fc.assert(
    fc.property(world, fc.array(flow, { minLength: 20, maxLength: 60 }), (cluster, flows) => {
      const engine = engineOf(cluster);
      for (const each of flows) {
        const verdict = judge(engine, each as Flow);
        assert.equal(verdict.allowed, allowedByReference(cluster, each), JSON.stringify(each));
        for (const side of [verdict.egress, verdict.ingress]) {
          if (side.because === 'rule') assert.ok(side.matches.length > 0);
          if (side.because === 'no rule') assert.ok(side.isolatedBy.length > 0);
        }
        const withStaged = [verdict.egress, verdict.ingress].every((side) => (side.staged ?? side).allowed);
        assert.equal(withStaged, allowedByReference(cluster, each, true), `staged ${JSON.stringify(each)}`);
      }
    }),
    { numRuns: RUNS },
  );
});

test('after any changes the engine is what it would be had it been told the end alone', () => {
  fc.assert(
    fc.property(
      world,
      fc.array(step, { minLength: 1, maxLength: 25 }),
      fc.array(flow, { minLength: 30 }),
      (...given) => {
        const [start, steps, flows] = given;
        const named = { ...start, policies: [] };
        const engine = engineOf(named);
        const told = new Set<string>();
        engine.onPod(({ key }) => told.add(key));
        let cluster: World = named;
        for (const change of steps) {
          const before = snapshot(engine);
          told.clear();
          cluster = take(engine, cluster, change);
          const after = snapshot(engine);
          for (const key of new Set([...before.keys(), ...after.keys()])) {
            if (before.get(key) !== after.get(key)) assert.ok(told.has(key), `nobody was told of ${key}: ${change.do}`);
          }
        }
        assert.deepEqual(snapshot(engine), snapshot(engineOf(cluster)));
        for (const each of flows) {
          assert.equal(judge(engine, each as Flow).allowed, allowedByReference(cluster, each), JSON.stringify(each));
        }
      },
    ),
    { numRuns: RUNS },
  );
});

function snapshot(engine: PolicyEngine): Map<string, string> {
  const pods = [...engine.pods.values()].map((pod): [string, string] => {
    const policies = [...pod.policies].map(({ id }) => id).sort();
    return [pod.key, JSON.stringify([policies, [...pod.peers].sort(), pod.ips, [...pod.ports]])];
  });
  return new Map(pods.sort());
}
