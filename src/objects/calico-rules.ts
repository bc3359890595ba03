// Room objects: what of a Calico rule is looked at, and in words what is not: for those who write policies and for those who read them.
import type { CalicoEntity, CalicoPolicySpec, CalicoRule } from './policy-types.ts';
import type { StatusCause } from './status.ts';
import { forbidden } from './validate/causes.ts';

/** Protocols that a rule may name, by name in lower case and by number. */
const PROTOCOLS = new Map([
  ['icmp', 'ICMP'],
  ['1', 'ICMP'],
  ['tcp', 'TCP'],
  ['6', 'TCP'],
  ['udp', 'UDP'],
  ['17', 'UDP'],
  ['icmpv6', 'ICMPv6'],
  ['58', 'ICMPv6'],
  ['sctp', 'SCTP'],
  ['132', 'SCTP'],
  ['udplite', 'UDPLite'],
  ['136', 'UDPLite'],
] as const);

export function calicoProtocol(text: number | string | undefined) {
  return text === undefined
    ? undefined
    : (PROTOCOLS as ReadonlyMap<string, CalicoProtocol>).get(String(text).toLowerCase());
}

type CalicoProtocol = 'TCP' | 'UDP' | 'SCTP' | 'ICMP' | 'ICMPv6' | 'UDPLite';

/** `80`, `"80"`, `"80:90"`; undefined for a name. */
export function calicoPorts(port: number | string): { readonly first: number; readonly last: number } | undefined {
  const match = /^(\d+)(?::(\d+))?$/.exec(String(port));
  return match ? { first: Number(match[1]), last: Number(match[2] ?? match[1]) } : undefined;
}

/** What is not enforced here: whoever meets it in a stored object must read the rule so that it lets nothing through. */
export function unsupportedInRule(rule: CalicoRule, direction: 'ingress' | 'egress', at: string): StatusCause[] {
  const peer = direction === 'ingress' ? 'source' : 'destination';
  const own = direction === 'ingress' ? 'destination' : 'source';
  const causes: StatusCause[] = [];
  const refuse = (field: string, why: string) => causes.push(forbidden(`${at}.${field}`, why));
  for (const field of ['icmp', 'notICMP'] as const) {
    if (rule[field]) refuse(field, 'types and codes of ICMP are not told apart here; protocol ICMP means all of them');
  }
  if (rule.http) refuse('http', 'requests are not looked at here, only connections');
  for (const field of ['protocol', 'notProtocol'] as const) {
    if (rule[field] === undefined || calicoProtocol(rule[field])) continue;
    refuse(field, 'only TCP, UDP, SCTP, ICMP, ICMPv6 and UDPLite are told apart here');
  }
  if (rule[peer]?.services) refuse(`${peer}.services`, 'name the pods behind the Service by a selector');
  for (const field of ['ports', 'notPorts'] as const) {
    if (rule.source?.[field]?.length)
      refuse(`source.${field}`, 'the port that a client sends from is not looked at here');
  }
  for (const field of OWN_FIELDS) {
    if (!isSet(rule[own]?.[field])) continue;
    refuse(
      `${own}.${field}`,
      "a rule's own end is what spec.selector selects; write a policy of its own for fewer pods",
    );
  }
  const { ports = [], notPorts = [] } = rule.destination ?? {};
  for (const [i, port] of notPorts.entries()) {
    if (!calicoPorts(port)) refuse(`destination.notPorts[${i}]`, 'only numbers and ranges can be left out here');
  }
  if (notPorts.length > 0 && ports.some((port) => !calicoPorts(port))) {
    refuse('destination.notPorts', 'cannot stand beside ports that are given by name');
  }
  return causes;
}

const OWN_FIELDS: readonly (keyof CalicoEntity)[] = [
  'nets',
  'notNets',
  'selector',
  'notSelector',
  'namespaceSelector',
  'serviceAccounts',
  'services',
];

function isSet(value: unknown): boolean {
  return Array.isArray(value) || typeof value === 'string' ? value.length > 0 : value !== undefined;
}

/** Ingress without egress rules, egress with egress rules alone, both with both. */
export function calicoTypes({ types, ingress, egress }: CalicoPolicySpec): string[] {
  if (types?.length) return types;
  if (!egress?.length) return ['Ingress'];
  return ingress?.length ? ['Ingress', 'Egress'] : ['Egress'];
}
