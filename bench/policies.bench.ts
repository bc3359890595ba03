// NetworkPolicies at size: 1,000 policies and 10,000 pods; the first plan, a label's change, a pod's start, a new policy, all to the kernel.
import { openKernel } from '../src/kernel/linux.ts';
import type { NetworkPolicy } from '../src/objects/types.ts';
import { planPolicyBase } from '../src/plan/policy/base.ts';
import { PolicyEngine } from '../src/plan/policy/engine.ts';
import { matrixOf } from '../src/plan/policy/matrix.ts';
import { NodePolicies } from '../src/plan/policy/node-policies.ts';
import type { PodFacts } from '../src/plan/policy/pod.ts';
import { createReconciler } from '../src/reconcile/loop.ts';
import { createNetns, netnsPath, removeNamespace } from '../src/sys/netns.ts';
import { printMachine, printSamples } from './measure.ts';

const POLICIES = 1000;
const PODS = 10_000;
/** Of the pods, on this node. */
const LOCAL = 110;
const NAMESPACES = 50;
const ROUNDS = 300;
const FACTS = { nodeName: 'n0', families: [4], dnsIPs: [] } as const;

/** Ten pods of each application, twenty applications to a namespace. */
function podAt(i: number, app = Math.floor(i / 10)): PodFacts {
  const namespace = `ns${app % NAMESPACES}`;
  const ip = `10.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
  const name = `p${i}`;
  const node = i % Math.floor(PODS / LOCAL) === 0 ? 'n0' : 'n1';
  const plain = { hostNetwork: false, ports: new Map([['TCP/http', 8080]]) };
  return {
    ...plain,
    key: `${namespace}/${name}`,
    namespace,
    name,
    labels: { app: `a${app}`, tier: `t${app % 3}` },
    ips: [ip],
    node,
  };
}

/** Each application lets in the next one of its namespace, and all of another namespace, each on a port. */
function policyAt(n: number): NetworkPolicy {
  const namespace = `ns${n % NAMESPACES}`;
  const labels = (app: number) => ({ matchLabels: { app: `a${app % POLICIES}` } });
  const spec: NetworkPolicy['spec'] = {
    podSelector: labels(n),
    ingress: [
      { from: [{ podSelector: labels(n + NAMESPACES) }], ports: [{ port: 8080 }] },
      {
        from: [{ namespaceSelector: { matchLabels: { team: `team${(n + 1) % NAMESPACES}` } } }],
        ports: [{ port: 'http' }],
      },
    ],
  };
  const metadata = { name: `policy-${n}`, namespace, uid: `${n}`, resourceVersion: '1', creationTimestamp: '' };
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec };
}

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
    for (let i = 0; i < NAMESPACES; i++) engine.setNamespace(`ns${i}`, { team: `team${i}` });
    for (let i = 0; i < PODS; i++) engine.setPod(podAt(i));
    for (let n = 0; n < POLICIES; n++) engine.setPolicy(policyAt(n));
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
  const groups = timed(() => matrixOf(engine, [{ protocol: 'TCP', port: 8080 }]));
  console.log(
    `all pairs of ${engine.pods.size} pods under ${engine.policies.size} policies on one port: ${groups.toFixed(0)} ms`,
  );
} finally {
  reconciler.close();
  kernel.close();
  removeNamespace(netns);
}
