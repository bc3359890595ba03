// Room plan: Calico's NetworkPolicy and GlobalNetworkPolicy (projectcalico.org/v3) as the engine reads them.
import { calicoPorts, calicoProtocol, calicoTypes, unsupportedInRule } from '../../objects/calico-rules.ts';
import { calicoSelector } from '../../objects/calico-selector.ts';
import type { CalicoEntity, CalicoRule } from '../../objects/policy-types.ts';
import type { CalicoNetworkPolicy, GlobalNetworkPolicy } from '../../objects/types.ts';
import { blockPeer } from './address-block.ts';
import { namespaceLabel, serviceAccountLabel, workloadLabel } from './calico-labels.ts';
import {
  type Action,
  type AtomicPeer,
  DIRECTIONS,
  type Direction,
  type EntityPeer,
  FLOW_PROTOCOLS,
  type FlowProtocol,
  type PodPeer,
  type PolicyRules,
  type PortMatch,
  type Protocol,
  podPeer,
  policyHead,
  type Rule,
} from './rules.ts';
import { both, EVERYTHING, type Selector } from './selector.ts';
import { DEFAULT_TIER } from './tiers.ts';

const ACTIONS: Readonly<Record<string, Action>> = { Allow: 'allow', Deny: 'deny', Pass: 'pass', Log: 'log' };

/** How the kind is named beside the one of Kubernetes. */
export const CALICO_NETWORK_POLICY = 'NetworkPolicy.projectcalico.org';
/** Order of a policy that has none: the last. */
const LAST = Number.POSITIVE_INFINITY;

export function calicoPolicyRules(
  { metadata, spec }: CalicoNetworkPolicy | GlobalNetworkPolicy,
  kind: typeof CALICO_NETWORK_POLICY | 'GlobalNetworkPolicy',
): PolicyRules {
  const isGlobal = kind === 'GlobalNetworkPolicy';
  const namespace = isGlobal ? undefined : (metadata.namespace ?? 'default');
  const types = calicoTypes(spec);
  const rules: Record<Direction, Rule[]> = { ingress: [], egress: [] };
  const policy: PolicyRules = {
    ...policyHead(kind, metadata, !isGlobal),
    tier: spec.tier || DEFAULT_TIER,
    order: spec.order ?? LAST,
    subject: podPeer(scopeOf('namespaceSelector' in spec ? spec.namespaceSelector : '', namespace), podsOf(spec)),
    directions: DIRECTIONS.filter((direction) => types.includes(direction === 'ingress' ? 'Ingress' : 'Egress')),
    rules,
  };
  for (const direction of policy.directions) {
    for (const [index, rule] of (spec[direction] ?? []).entries()) {
      rules[direction].push(ruleOf(policy, direction, index, rule));
    }
  }
  return policy;
}

/** Without a namespaceSelector: the policy's own namespace, or all where it has none. */
function scopeOf(namespaceSelector: string | undefined, namespace: string | undefined): PodPeer['scope'] {
  if (namespaceSelector) return { namespaces: selector(namespaceSelector, namespaceLabel) };
  return namespace === undefined ? { namespaces: EVERYTHING } : { namespace };
}

function podsOf({ selector: text, serviceAccountSelector }: { selector?: string; serviceAccountSelector?: string }) {
  return both(selector(text, workloadLabel), selector(serviceAccountSelector, serviceAccountLabel));
}

function selector(text: string | undefined, rename: (label: string) => string): Selector {
  return text ? calicoSelector(text, rename) : EVERYTHING;
}

function ruleOf(policy: PolicyRules, direction: Direction, index: number, rule: CalicoRule): Rule {
  const action = ACTIONS[rule.action] ?? 'deny';
  const head = { policy, direction, index };
  if (unsupportedInRule(rule, direction, '').length > 0) {
    // Fails closed, as ClusterNetworkPolicies ask for what an implementation does not know.
    return { ...head, action: action === 'allow' || action === 'log' ? action : 'deny', ...nothingOr(action) };
  }
  const entity = (direction === 'ingress' ? rule.source : rule.destination) ?? {};
  const peer = entityOf(entity, rule.ipVersion, policy.ref.namespace);
  return { ...head, action, peers: peer && [peer], ports: portsOf(rule) };
}

function nothingOr(action: Action): Pick<Rule, 'peers' | 'ports'> {
  return { peers: action === 'allow' || action === 'log' ? [] : undefined, ports: undefined };
}

/** Undefined: everybody. */
function entityOf(
  entity: CalicoEntity,
  version: number | undefined,
  namespace: string | undefined,
): EntityPeer | undefined {
  const conditions: EntityPeer['conditions'][number][] = [];
  const add = (not: boolean, anyOf: readonly AtomicPeer[]) => {
    if (anyOf.length > 0) conditions.push({ not, anyOf });
  };
  if (version !== undefined) add(false, [blockPeer(version === 4 ? '0.0.0.0/0' : '::/0')]);
  add(false, (entity.nets ?? []).map(netOf));
  add(false, podsOfEntity(entity, namespace));
  add(true, (entity.notNets ?? []).map(netOf));
  if (entity.notSelector) add(true, [podPeer({ namespaces: EVERYTHING }, selector(entity.notSelector, workloadLabel))]);
  if (conditions.length === 0) return undefined;
  const texts = conditions.map(({ not, anyOf }) => `${not ? 'not ' : ''}${anyOf.map(({ key }) => key).join(' or ')}`);
  return { kind: 'entity', key: texts.join(' and '), conditions };
}

/** A network, or one address. */
function netOf(text: string): AtomicPeer {
  return blockPeer(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`);
}

function podsOfEntity(entity: CalicoEntity, namespace: string | undefined): AtomicPeer[] {
  const { selector: text, notSelector, namespaceSelector, serviceAccounts } = entity;
  const asksForPods = text || namespaceSelector || serviceAccounts || (notSelector && namespace !== undefined);
  if (!asksForPods) return [];
  const names = serviceAccounts?.names ?? [];
  const named = names.length > 0 ? `projectcalico.org/name in {${names.map((name) => `"${name}"`).join(', ')}}` : '';
  const account = both(selector(serviceAccounts?.selector, serviceAccountLabel), selector(named, serviceAccountLabel));
  return [podPeer(scopeOf(namespaceSelector, namespace), both(selector(text, workloadLabel), account))];
}

/** Undefined: any port of any protocol. */
function portsOf({ protocol, notProtocol, destination }: CalicoRule): PortMatch[] | undefined {
  const { ports = [], notPorts = [] } = destination ?? {};
  if (protocol === undefined && notProtocol === undefined) return undefined;
  const only = calicoProtocol(protocol);
  const but = calicoProtocol(notProtocol);
  const protocols = (only ? [only] : FLOW_PROTOCOLS).filter((each) => each !== but);
  if (ports.length + notPorts.length === 0) return protocols.map((each) => ({ kind: 'all', protocol: each }));
  return protocols.filter(hasPorts).flatMap((each) => portsOfProtocol(each, ports, notPorts));
}

function hasPorts(protocol: FlowProtocol): protocol is Protocol {
  return protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP';
}

function portsOfProtocol(
  protocol: Protocol,
  ports: readonly (number | string)[],
  notPorts: readonly (number | string)[],
): PortMatch[] {
  const holes = notPorts.flatMap((port) => calicoPorts(port) ?? []).sort((a, b) => a.first - b.first);
  const asked = ports.length > 0 ? ports : ['0:65535'];
  return asked.flatMap((port): PortMatch[] => {
    const range = calicoPorts(port);
    if (!range) return [{ kind: 'name', protocol, name: String(port) }];
    return without(range, holes).map((each) => ({ kind: 'range', protocol, ...each }));
  });
}

interface Range {
  readonly first: number;
  readonly last: number;
}

function without(range: Range, holes: readonly Range[]): Range[] {
  const rest: Range[] = [];
  let next = range.first;
  for (const { first, last } of holes) {
    if (first > range.last || last < next) continue;
    if (first > next) rest.push({ first: next, last: first - 1 });
    next = last + 1;
  }
  if (next <= range.last) rest.push({ first: next, last: range.last });
  return rest;
}
