// A node of an arbitrary cluster: its policies' plan, and packets as it would see them.
import type { NftItem } from '../../src/kernel/nft-items.ts';
import { objectKey, type Pod } from '../../src/objects/types.ts';
import { planPolicyBase, policyPlace } from '../../src/plan/policy/base.ts';
import { PolicyEngine } from '../../src/plan/policy/engine.ts';
import type { Flow } from '../../src/plan/policy/judge.ts';
import { type Changes, NodePolicies } from '../../src/plan/policy/node-policies.ts';
import { podFacts } from '../../src/plan/policy/pod.ts';
import { DesiredState } from '../../src/reconcile/desired.ts';
import type { Packet } from '../../src/trace/packet-walk.ts';
import type { World } from './reference.ts';
import { engineOf, type Step, take } from './steps.ts';

const FACTS = { nodeName: 'n1', families: [4, 6], dnsIPs: ['10.96.0.10'], logGroup: 7 } as const;

const isHere = ({ spec }: Pod) => spec.nodeName === 'n1' && !spec.hostNetwork;
const linkOf = (pod: Pod) => `pw-${pod.metadata.namespace}-${pod.metadata.name}`;

/** A node that is told of a world, and then of its changes. */
export class NodeUnderTest {
  readonly engine = new PolicyEngine();
  readonly desired = new DesiredState();
  readonly policies = new NodePolicies(this.engine, FACTS);
  #here = new Map<string, Pod>();
  cluster: World;

  constructor(cluster: World) {
    this.cluster = cluster;
    engineOf(cluster, this.engine);
    this.desired.set('policy/base', planPolicyBase(FACTS));
    this.settle();
  }

  take(change: Step): Changes {
    this.cluster = take(this.engine, this.cluster, change);
    return this.settle();
  }

  settle(): Changes {
    const here = new Map(this.cluster.pods.filter(isHere).map((pod) => [objectKey(pod), pod]));
    for (const [key, pod] of this.#here) if (!here.has(key)) this.policies.untarget(key, linkOf(pod));
    for (const [key, pod] of here) this.policies.target(key, linkOf(pod));
    this.#here = here;
    const changes = this.policies.takeChanges();
    for (const [key, fragment] of changes) this.desired.set(key, fragment);
    return changes;
  }

  items(family: 4 | 6): NftItem[] {
    const place = policyPlace(family);
    return ([...this.desired.items.values()] as NftItem[]).filter((item) => item.family === place.family);
  }

  packet(family: 4 | 6, { from, to, protocol, port }: Flow): Packet {
    const linkAt = (ip: string) => {
      const pod = [...this.#here.values()].find((each) => podFacts(each).ips.includes(ip));
      return pod ? linkOf(pod) : 'eth0';
    };
    const [saddr, daddr] = family === 4 ? (['ip saddr', 'ip daddr'] as const) : (['ip6 saddr', 'ip6 daddr'] as const);
    return {
      iifname: linkAt(from),
      oifname: linkAt(to),
      [saddr]: from,
      [daddr]: to,
      'meta l4proto': protocol === 'ICMPv6' ? 'ipv6-icmp' : protocol.toLowerCase(),
      ...(protocol.startsWith('ICMP') ? {} : { 'th dport': port }),
      'ct state': 'new',
      ...(protocol === 'TCP' && { 'tcp flags': 'syn' }),
    };
  }
}
