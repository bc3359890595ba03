// NetworkPolicies at size: 1,000 policies and 10,000 pods; the first plan, a label's change, a pod's start, a new policy, all to the kernel.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { openKernel } from '../src/kernel/linux.ts';
import { planPolicyBase } from '../src/plan/policy/base.ts';
import { PolicyEngine } from '../src/plan/policy/engine.ts';
import { matrixOf } from '../src/plan/policy/matrix.ts';
import { NodePolicies } from '../src/plan/policy/node-policies.ts';
import { createReconciler } from '../src/reconcile/loop.ts';
import { createNetns, netnsPath, removeNamespace } from '../src/sys/netns.ts';
import { printMachine, printSamples } from './measure.ts';
import { fill, NAMESPACES, PODS, POLICIES, podAt, policyAt } from './policy-cluster.ts';

const ROUNDS = 300;
const FACTS = { nodeName: 'n0', families: [4], dnsIPs: [] } as const;

printMachine();
const netns = netnsPath(`pwt-bench-policies-${process.pid}`);
createNetns(netns);
const kernel = openKernel({ netns });
const reconciler = createReconciler(kernel);
try {
  const before = process.memoryUsage().heapUsed;
  const timed = (work: () => void) => {
    const start = performance.now();
    work();
    return performance.now() - start;
  };
  const engine = new PolicyEngine();
  const node = new NodePolicies(engine, FACTS);
  const loaded = timed(() => {
    fill(engine);
  });
  const local = [...engine.pods.values()].filter((pod) => pod.node === 'n0');
  for (const [i, { key }] of local.entries()) node.target(key, `pw${i}`);
  reconciler.update(new Map([['policy/base', planPolicyBase(FACTS)]]));
  const planned = timed(() => reconciler.update(node.takeChanges()));
  const heap = Math.round((process.memoryUsage().heapUsed - before) / 2 ** 20);
  console.log(
    `${POLICIES} policies, ${PODS} pods, ${local.length} of them here: read ${loaded.toFixed(0)} ms, first plan and kernel ${planned.toFixed(0)} ms, ${heap} MiB`,
  );
  const rounds = (change: (round: number) => void) =>
    Array.from({ length: ROUNDS }, (_, round) =>
      timed(() => {
        change(round);
        const changes = node.takeChanges();
        if (changes.size > 0) reconciler.update(changes);
      }),
    );
  printSamples(
    'a peer changes its labels',
    rounds((i) => engine.setPod(podAt(i * 10 + 1, ((i + (i % 2)) * NAMESPACES) % POLICIES))),
  );
  printSamples(
    'a pod of this node changes its labels',
    rounds((i) => {
      const { key, namespace, ...pod } = local[i % local.length]!;
      engine.setPod({ ...pod, key, namespace, labels: { app: `a${i}`, tier: 'x' } });
    }),
  );
  printSamples(
    'a pod starts elsewhere',
    rounds((i) => engine.setPod(podAt(PODS + i))),
  );
  printSamples(
    'a namespace changes its labels',
    rounds((i) => engine.setNamespace(`ns${i % NAMESPACES}`, { team: `team${(i * 7) % NAMESPACES}` })),
  );
  printSamples(
    'a policy comes',
    rounds((i) => engine.setPolicy({ ...policyAt(i), metadata: { ...policyAt(i).metadata, name: `more-${i}` } })),
  );
  const allPairs = timed(() => matrixOf(engine, [{ protocol: 'TCP', port: 8080 }]));
  console.log(
    `all pairs of ${engine.pods.size} pods under ${engine.policies.size} policies on one port: ${allPairs.toFixed(0)} ms`,
  );
} finally {
  reconciler.close();
  kernel.close();
  removeNamespace(netns);
}
// A process of its own: what was at its height in this one was another's.
execFileSync(process.execPath, [join(import.meta.dirname, 'all-pairs.ts')], { stdio: 'inherit' });
