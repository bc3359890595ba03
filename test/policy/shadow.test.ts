// A rule that lint calls shadowed can be taken out: no flow of any cluster is judged otherwise.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NetworkPolicy } from '../../src/objects/types.ts';
import { type Flow, judge } from '../../src/plan/policy/judge.ts';
import { lint } from '../../src/plan/policy/lint.ts';
import { engineOf } from './steps.ts';
import { flow, plainWorld as world } from './worlds.ts';

test('any cluster: without the rules that are shadowed every flow is judged as with them', () => {
  let found = 0;
  fc.assert(
    fc.property(world, fc.array(flow, { minLength: 60, maxLength: 60 }), (cluster, flows) => {
      const engine = engineOf(cluster);
      for (const { check, policy, direction, index } of lint(engine)) {
        if (check !== 'shadowed') continue;
        found++;
        const { directions } = engine.policies.get(policy)!;
        const policies = cluster.policies.map((each) => {
          if (policy !== `NetworkPolicy/${each.metadata.namespace}/${each.metadata.name}`) return each;
          const spec = structuredClone((each as NetworkPolicy).spec)!;
          spec[direction!]!.splice(index!, 1);
          // Without its last egress rule a policy that names no types would be another one.
          return {
            ...each,
            spec: { ...spec, policyTypes: directions.map((one) => (one === 'ingress' ? 'Ingress' : 'Egress')) },
          };
        });
        const without = engineOf({ ...cluster, policies });
        for (const each of flows as Flow[]) {
          assert.equal(judge(without, each).allowed, judge(engine, each).allowed, `${policy} ${direction}[${index}]`);
        }
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(found > 20, `${found} were shadowed`);
});
