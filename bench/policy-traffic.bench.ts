// Pod to pod with 1,000 policies on 10,000 pods, both ends isolated, against the same pods without any: requests/s and connects/s.
import { execFileSync } from 'node:child_process';
import type { NetworkPolicy } from '../src/objects/types.ts';
import { planMasqueradeBase } from '../src/plan/masquerade.ts';
import { podLinkName } from '../src/plan/pods.ts';
import { planPolicyBase } from '../src/plan/policy/base.ts';
import { PolicyEngine } from '../src/plan/policy/engine.ts';
import { NodePolicies } from '../src/plan/policy/node-policies.ts';
import { planProxyBase } from '../src/plan/proxy-base.ts';
import { inNetns } from '../src/sys/netns.ts';
import { ClusterNet, type TestPod } from '../test/node/cluster-net.ts';
import { median, printMachine } from './measure.ts';
import { Pair, type Path, ratio } from './pair.ts';
import { NAMESPACES, PODS, POLICIES, podAt, policyAt } from './policy-cluster.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 31);
const SLICE_MS = 50;
const PORT = 7000;
const FACTS = { nodeName: 'node-1', families: [4], dnsIPs: [] } as const;
const KINDS = { rr: 'requests/s', crr: 'connects/s' } as const;

/** The client may speak to the server and to nobody else; the server hears the client alone. */
function policyOf(direction: 'ingress' | 'egress', own: string, other: string): NetworkPolicy {
  const metadata = { name: own, namespace: 'default', uid: own, resourceVersion: '1', creationTimestamp: '' };
  const podSelector = (role: string) => ({ podSelector: { matchLabels: { role } } });
  const ports = [{ port: PORT }];
  const rule = direction === 'ingress' ? { ingress: [{ from: [podSelector(other)], ports }] } : {};
  const out = direction === 'egress' ? { egress: [{ to: [podSelector(other)], ports }] } : {};
  const policyTypes = [direction === 'ingress' ? 'Ingress' : 'Egress'];
  const spec = { ...podSelector(own), policyTypes, ...rule, ...out };
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec } as NetworkPolicy;
}

class World implements Disposable {
  readonly net: ClusterNet;
  readonly client: TestPod;
  readonly server: TestPod;
  readonly name: string;

  constructor(name: string, label: string) {
    this.name = name;
    const place = { name: 'node-1', ips: ['172.30.0.11'], podCIDRs: ['10.244.0.0/24'] };
    this.net = new ClusterNet(`p${process.pid}${label}`, [place]);
    const [node] = this.net.nodes as [(typeof this.net.nodes)[number]];
    const { nodeName, nodeIPs, serviceCIDRs, podCIDRs: ownPodCIDRs, clusterPodCIDRs: podCIDRs } = node.options;
    const facts = { nodeName, nodeIPs, serviceCIDRs, dnsIPs: [], ownPodCIDRs, podCIDRs };
    const base = [
      ['proxy/base', planProxyBase(facts)] as const,
      ['masquerade/base', planMasqueradeBase(facts)] as const,
    ];
    node.reconciler.update(new Map(base));
    this.client = this.net.addPod(node, `${label}client`);
    this.server = this.net.addPod(node, `${label}server`);
  }

  enforce(): void {
    const engine = new PolicyEngine();
    const policies = new NodePolicies(engine, FACTS);
    for (let i = 0; i < NAMESPACES; i++) engine.setNamespace(`ns${i}`, { team: `team${i}` });
    for (let i = 0; i < PODS; i++) {
      const pod = podAt(i);
      engine.setPod(pod.node === 'n0' ? { ...pod, node: FACTS.nodeName } : pod);
      if (pod.node === 'n0') policies.target(pod.key, `pw${i}`);
    }
    for (let n = 0; n < POLICIES; n++) engine.setPolicy(policyAt(n));
    for (const [role, { sandboxId, ip }] of Object.entries({ client: this.client, server: this.server })) {
      const key = `default/${role}`;
      const place = { key, namespace: 'default', name: role, node: FACTS.nodeName };
      engine.setPod({ ...place, labels: { role }, ips: [ip], hostNetwork: false, ports: new Map() });
      policies.target(key, podLinkName(sandboxId));
    }
    engine.setPolicy(policyOf('egress', 'client', 'server'));
    engine.setPolicy(policyOf('ingress', 'server', 'client'));
    const { reconciler } = this.net.nodes[0]!;
    reconciler.update(new Map([['policy/base', planPolicyBase(FACTS)]]));
    reconciler.update(policies.takeChanges());
  }

  path(): Path {
    const { netns } = this.net.nodes[0]!;
    const clear = () => inNetns(netns, () => execFileSync('conntrack', ['-F'], { stdio: 'ignore' }));
    return { name: this.name, client: this.client.netns, server: this.server.netns, ip: this.server.ip, clear };
  }

  /** What the rules that let the connection pass have counted. */
  counted(): string {
    const { netns } = this.net.nodes[0]!;
    const text = inNetns(netns, () =>
      execFileSync('nft', ['list', 'table', 'ip', 'podwire-policy'], { encoding: 'utf8' }),
    );
    const lines = text.split('\n').filter((line) => /packets [1-9].*NetworkPolicy/.test(line));
    return lines.map((line) => line.trim()).join('\n');
  }

  [Symbol.dispose](): void {
    this.net[Symbol.dispose]();
  }
}

printMachine();
using without = new World('no policies', 'a');
using within = new World(`${POLICIES} policies`, 'b');
within.enforce();
using pair = new Pair();
console.log(`both ends on one CPU, ${ROUNDS} rounds of ${SLICE_MS} ms in turn`);
for (const [kind, what] of Object.entries(KINDS) as [keyof typeof KINDS, string][]) {
  const paths = [without.path(), within.path()];
  const samples = await pair.rounds(paths, kind, ROUNDS, SLICE_MS);
  const [none, some] = paths.map(({ name }) => samples.get(name)!) as [number[], number[]];
  const figure = (values: number[]) => Math.round(median(values)).toLocaleString('en');
  console.log(
    `${what}: ${without.name} ${figure(none)}, ${within.name} ${figure(some)}, ratio ${ratio(some, none).toFixed(3)}`,
  );
}
console.log(within.counted());
