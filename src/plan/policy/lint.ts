// Room plan: what in policies is likely not meant: selectors of nobody, ports of nobody, rules without a say, DNS forgotten, pods out of reach.
import type { PolicyEngine } from './engine.ts';
import { judgeSide } from './judge.ts';
import { namedPort, type PolicyPod } from './pod.ts';
import { atomsOf, type Direction, type PolicyRules, type Rule, ruleText } from './rules.ts';
import { shadowOf } from './shadow.ts';

export interface Finding {
  readonly check:
    | 'selects-nothing'
    | 'peer-matches-nothing'
    | 'no-such-port'
    | 'shadowed'
    | 'never-reached'
    | 'denies-dns'
    | 'staged'
    | 'host-network';
  /** `NetworkPolicy/shop/web` */
  readonly policy: string;
  /** Where it is one rule's: its place in the policy. */
  readonly direction?: Direction;
  readonly index?: number;
  /** The policy or the rule in one word: `NetworkPolicy/shop/web ingress[0]`. */
  readonly where: string;
  readonly says: string;
  /** What to change. */
  readonly mend: string;
}

/** `dns`: the address at which pods ask for names; absent where it is not known. */
export function lint(engine: PolicyEngine, dns?: string): Finding[] {
  return [...engine.policies.values()].flatMap((policy) => {
    const pods = [...engine.pods.values()].filter((pod) => pod.policies.has(policy));
    const mend = 'take the annotation podwire.io/mode away when it is to be in force';
    return [
      ...selection(engine, policy, pods),
      ...(policy.staged ? [ofPolicy(policy, 'staged', 'is staged: it denies and allows nothing', mend)] : []),
      ...policy.rules.ingress.flatMap((rule) => [
        ...peersOf(engine, rule),
        ...ingressPorts(rule, pods),
        ...idle(engine, rule, pods),
      ]),
      ...policy.rules.egress.flatMap((rule) => [
        ...peersOf(engine, rule),
        ...egressPorts(engine, rule),
        ...idle(engine, rule, pods),
      ]),
      ...(dns === undefined ? [] : deniedDns(engine, policy, pods, dns)),
    ];
  });
}

function ofPolicy({ id }: PolicyRules, check: Finding['check'], says: string, mend: string): Finding {
  return { check, policy: id, where: id, says, mend };
}

function ofRule(rule: Rule, check: Finding['check'], says: string, mend: string): Finding {
  const { policy, direction, index } = rule;
  return { check, policy: policy.id, direction, index, where: ruleText(rule), says, mend };
}

function idle(engine: PolicyEngine, rule: Rule, pods: readonly PolicyPod[]): Finding[] {
  const shadow = shadowOf(engine, rule, pods);
  if (!shadow) return [];
  const by = shadow.by.map(ruleText).join(', ');
  switch (shadow.kind) {
    case 'same':
      return [
        ofRule(rule, 'shadowed', `all that it allows is allowed by ${by} too`, 'take it out, or narrow the other one'),
      ];
    case 'before':
      return [
        ofRule(rule, 'never-reached', `${by} decides first`, 'take it out, or give it an order before the other one'),
      ];
    case 'end': {
      const says = `every pod that it is for is isolated by policies of tier ${shadow.tier}, which ends what they do not allow`;
      return [ofRule(rule, 'never-reached', says, `take it out, or move it to tier ${shadow.tier} or one before`)];
    }
  }
}

function selection(engine: PolicyEngine, policy: PolicyRules, pods: readonly PolicyPod[]): Finding[] {
  const host = [...engine.pods.values()].filter(
    ({ namespace, hostNetwork }) => hostNetwork && namespace === policy.ref.namespace,
  );
  const findings: Finding[] = [];
  if (pods.length === 0) {
    const of = policy.ref.namespace === undefined ? 'pod' : `pod of namespace ${policy.ref.namespace}`;
    const says = `its selectors match no ${of}`;
    findings.push(ofPolicy(policy, 'selects-nothing', says, 'give it labels that pods have, or delete it'));
  }
  if (host.length > 0) {
    const names = host.map(({ key }) => key).join(', ');
    const says = `${names} use the host's network: no policy reaches them`;
    findings.push(ofPolicy(policy, 'host-network', says, 'take hostNetwork from the pods, or filter on the node'));
  }
  return findings;
}

function peersOf(engine: PolicyEngine, rule: Rule): Finding[] {
  return (rule.peers ?? []).flatMap(atomsOf).flatMap((peer): Finding[] => {
    if (peer.kind !== 'pods' || engine.members(peer.key).size > 0) return [];
    const mend = 'correct the labels that it asks for, or take the peer out';
    return [ofRule(rule, 'peer-matches-nothing', `no pod is of ${peer.key}`, mend)];
  });
}

function ingressPorts(rule: Rule, pods: readonly PolicyPod[]): Finding[] {
  return (rule.ports ?? []).flatMap((port): Finding[] => {
    const of = (pod: PolicyPod) =>
      port.kind === 'name'
        ? pod.ports.has(namedPort(port.protocol, port.name))
        : port.kind === 'all' ||
          pod.ports.size === 0 ||
          [...pod.ports.values()].some((each) => port.first <= each && each <= port.last);
    if (pods.length === 0 || pods.some(of)) return [];
    const what = port.kind === 'name' ? `named ${port.name}` : port.kind === 'range' ? portText(port) : '';
    const says = `no selected pod has a port ${port.protocol} ${what}`;
    return [ofRule(rule, 'no-such-port', says, portsMend(pods))];
  });
}

function egressPorts(engine: PolicyEngine, rule: Rule): Finding[] {
  return (rule.ports ?? []).flatMap((port): Finding[] => {
    if (port.kind !== 'name') return [];
    const key = namedPort(port.protocol, port.name);
    if ([...engine.pods.values()].some(({ ports }) => ports.has(key))) return [];
    const says = `no pod has a port ${port.protocol} named ${port.name}`;
    return [ofRule(rule, 'no-such-port', says, 'name a port that the pods there have, or give its number')];
  });
}

function portsMend(pods: readonly PolicyPod[]): string {
  const known = [...new Set(pods.flatMap(({ ports }) => [...ports].map(([name, number]) => `${name} (${number})`)))];
  return known.length > 0
    ? `they have ${known.slice(0, 5).join(', ')}`
    : 'name a port that they have, or give its number';
}

function portText({ first, last }: { readonly first: number; readonly last: number }): string {
  return first === last ? String(first) : `${first}-${last}`;
}

function deniedDns(engine: PolicyEngine, policy: PolicyRules, pods: readonly PolicyPod[], dns: string): Finding[] {
  if (!policy.directions.includes('egress')) return [];
  const mute = pods.filter(({ ips }) =>
    ips.some((from) => !judgeSide(engine, 'egress', { from, to: dns, protocol: 'UDP', port: 53 }).allowed),
  );
  if (mute.length === 0) return [];
  const says = `${mute.map(({ key }) => key).join(', ')} cannot ask for names: no policy allows egress to DNS (UDP 53)`;
  const mend = 'allow egress to pods k8s-app=kube-dns of namespace kube-system, UDP and TCP 53';
  return [ofPolicy(policy, 'denies-dns', says, mend)];
}
