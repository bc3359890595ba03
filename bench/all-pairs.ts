// What all pairs of 10,000 pods under 1,000 policies cost a process that does nothing else, as `podwire policy matrix` is one: its memory at its height.
import { PolicyEngine } from '../src/plan/policy/engine.ts';
import { matrixOf } from '../src/plan/policy/matrix.ts';
import { fill, PODS, POLICIES } from './policy-cluster.ts';

const height = () => Math.round(process.resourceUsage().maxRSS / 1024);
const engine = new PolicyEngine();
fill(engine);
const before = height();
const start = performance.now();
matrixOf(engine, [{ protocol: 'TCP', port: 8080 }]);
const took = performance.now() - start;
console.log(
  `the same in a process of its own (${PODS} pods, ${POLICIES} policies): ${took.toFixed(0)} ms, at most ${height()} MiB resident (${before} MiB of it once all was read)`,
);
