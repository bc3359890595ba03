// The matrix says of every two pods what the engine says of their flows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { judge } from '../../src/plan/policy/judge.ts';
import { matrixOf } from '../../src/plan/policy/matrix.ts';
import { engineOf } from './steps.ts';
import { world } from './worlds.ts';

const PORTS = [
  { protocol: 'TCP', port: 80 },
  { protocol: 'TCP', port: 81 },
  { protocol: 'UDP', port: 8081 },
] as const;

test('any cluster: of every two pods the matrix tells the ports that are allowed', () => {
  fc.assert(
    fc.property(world, (cluster) => {
      const engine = engineOf(cluster);
      const { groups, cells } = matrixOf(engine, PORTS);
      const groupOf = new Map(groups.flatMap(({ name, pods }) => pods.map((pod) => [pod, name] as const)));
      const allowed = new Map(cells.map((cell) => [`${cell.from} ${cell.to}`, cell.allowed]));
      const pods = [...engine.pods.values()].filter(({ ips }) => ips.length > 0);
      for (const from of pods) {
        for (const to of pods) {
          const group = groups.find(({ name }) => name === groupOf.get(from.key))!;
          if (from === to && group.pods.length > 1) continue;
          const ends = { from: from.ips[0]!, to: to.ips[0]! };
          const flows = PORTS.filter((port) => judge(engine, { ...ends, ...port }).allowed);
          const texts = flows.map(({ protocol, port }) => `${protocol} ${port}`);
          assert.deepEqual(
            allowed.get(`${groupOf.get(from.key)} ${groupOf.get(to.key)}`),
            texts,
            `${from.key} ${to.key}`,
          );
        }
      }
    }),
    { numRuns: 500 },
  );
});
