// A cluster of 10,000 pods under 1,000 policies, as the benchmarks of policies have it.
import type { NetworkPolicy } from '../src/objects/types.ts';
import type { PolicyEngine } from '../src/plan/policy/engine.ts';
import type { PodFacts } from '../src/plan/policy/pod.ts';

export const POLICIES = 1000;
export const PODS = 10_000;
/** Of the pods, on this node. */
const LOCAL = 110;
export const NAMESPACES = 50;

/** Ten pods of each application, twenty applications to a namespace. */
export function podAt(i: number, app = Math.floor(i / 10)): PodFacts {
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
export function policyAt(n: number): NetworkPolicy {
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

export function fill(engine: PolicyEngine): void {
  for (let i = 0; i < NAMESPACES; i++) engine.setNamespace(`ns${i}`, { team: `team${i}` });
  for (let i = 0; i < PODS; i++) engine.setPod(podAt(i));
  for (let n = 0; n < POLICIES; n++) engine.setPolicy(policyAt(n));
}
