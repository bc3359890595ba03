// Room plan: what in policies is likely not meant: selectors of nobody, ports of nobody, DNS forgotten, pods out of reach.
import type { PolicyEngine } from './engine.ts';
import { judgeSide } from './judge.ts';
import { namedPort, type PolicyPod } from './pod.ts';
import { atomsOf, type PolicyRules, type Rule, ruleText } from './rules.ts';

export interface Finding {
  readonly check: 'selects-nothing' | 'peer-matches-nothing' | 'no-such-port' | 'denies-dns' | 'host-network';
  /** The policy or the rule: `NetworkPolicy/shop/web ingress[0]`. */
  readonly where: string;
  readonly says: string;
}

/** `dns`: the address at which pods ask for names; absent where it is not known. */
export function lint(engine: PolicyEngine, dns?: string): Finding[] {
  return [...engine.policies.values()].flatMap((policy) => {
    const where = policy.id;
    const pods = [...engine.pods.values()].filter((pod) => pod.policies.has(policy));
    return [
      ...selection(engine, policy, pods, where),
      ...policy.rules.ingress.flatMap((rule) => [...peersOf(engine, rule), ...ingressPorts(rule, pods)]),
      ...policy.rules.egress.flatMap((rule) => [...peersOf(engine, rule), ...egressPorts(engine, rule)]),
      ...(dns === undefined ? [] : deniedDns(engine, policy, pods, where, dns)),
    ];
  });
}

function selection(engine: PolicyEngine, policy: PolicyRules, pods: readonly PolicyPod[], where: string): Finding[] {
  const host = [...engine.pods.values()].filter(
    ({ namespace, hostNetwork }) => hostNetwork && namespace === policy.ref.namespace,
  );
  const findings: Finding[] = [];
  if (pods.length === 0) {
    const of = policy.ref.namespace === undefined ? 'pod' : `pod of namespace ${policy.ref.namespace}`;
    const says = `its selectors match no ${of}`;
    findings.push({ check: 'selects-nothing', where, says });
  }
  if (host.length > 0) {
    const names = host.map(({ key }) => key).join(', ');
    findings.push({ check: 'host-network', where, says: `${names} use the host's network: no policy reaches them` });
  }
  return findings;
}

function peersOf(engine: PolicyEngine, rule: Rule): Finding[] {
  return (rule.peers ?? []).flatMap(atomsOf).flatMap((peer): Finding[] => {
    if (peer.kind !== 'pods' || engine.members(peer.key).size > 0) return [];
    return [{ check: 'peer-matches-nothing', where: ruleText(rule), says: `no pod is of ${peer.key}` }];
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
    return [
      { check: 'no-such-port', where: ruleText(rule), says: `no selected pod has a port ${port.protocol} ${what}` },
    ];
  });
}

function egressPorts(engine: PolicyEngine, rule: Rule): Finding[] {
  return (rule.ports ?? []).flatMap((port): Finding[] => {
    if (port.kind !== 'name') return [];
    const key = namedPort(port.protocol, port.name);
    if ([...engine.pods.values()].some(({ ports }) => ports.has(key))) return [];
    return [
      { check: 'no-such-port', where: ruleText(rule), says: `no pod has a port ${port.protocol} named ${port.name}` },
    ];
  });
}

function portText({ first, last }: { readonly first: number; readonly last: number }): string {
  return first === last ? String(first) : `${first}-${last}`;
}

function deniedDns(
  engine: PolicyEngine,
  policy: PolicyRules,
  pods: readonly PolicyPod[],
  where: string,
  dns: string,
): Finding[] {
  if (!policy.directions.includes('egress')) return [];
  const mute = pods.filter(({ ips }) =>
    ips.some((from) => !judgeSide(engine, 'egress', { from, to: dns, protocol: 'UDP', port: 53 }).allowed),
  );
  if (mute.length === 0) return [];
  const says = `${mute.map(({ key }) => key).join(', ')} cannot ask for names: no policy allows egress to DNS (UDP 53)`;
  return [{ check: 'denies-dns', where, says }];
}
