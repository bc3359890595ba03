// Room plan: a ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2) as the engine reads it.
import type {
  ClusterPolicyRule,
  EgressPeer,
  NamespacesOrPods,
  ProtocolMatch,
  ProtocolPort,
} from '../../objects/policy-types.ts';
import type { ClusterNetworkPolicy } from '../../objects/types.ts';
import { blockPeer } from './address-block.ts';
import {
  type Action,
  DIRECTIONS,
  type Direction,
  EVERY_POD,
  type Peer,
  type PodPeer,
  type PolicyRules,
  type PortMatch,
  type Protocol,
  podPeer,
  policyHead,
  type Rule,
} from './rules.ts';
import { labelSelector } from './selector.ts';
import { ADMIN_TIER, BASELINE_TIER } from './tiers.ts';

const ACTIONS: Readonly<Record<string, Action>> = { Accept: 'allow', Deny: 'deny', Pass: 'pass' };
const PROTOCOLS = { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' } as const;

/** "CNPs with no ingress rules do not affect ingress traffic", and likewise for egress. */
export function clusterPolicyRules({ metadata, spec }: ClusterNetworkPolicy): PolicyRules {
  const rules: Record<Direction, Rule[]> = { ingress: [], egress: [] };
  const policy: PolicyRules = {
    ...policyHead('ClusterNetworkPolicy', metadata, false),
    tier: spec.tier === 'Admin' ? ADMIN_TIER : BASELINE_TIER,
    order: spec.priority,
    subject: podsOf(spec.subject) ?? EVERY_POD,
    directions: DIRECTIONS.filter((direction) => (spec[direction] ?? []).length > 0),
    rules,
  };
  for (const direction of DIRECTIONS) {
    for (const [index, each] of (spec[direction] ?? []).entries()) {
      rules[direction].push(ruleOf(policy, direction, index, each));
    }
  }
  return policy;
}

function ruleOf(policy: PolicyRules, direction: Direction, index: number, rule: ClusterPolicyRule): Rule {
  const action = ACTIONS[rule.action] ?? 'deny';
  const list: readonly EgressPeer[] = (direction === 'ingress' ? rule.from : rule.to) ?? [];
  const peers = list.map(peersOf);
  // A peer of a version that is not known here: the rule fails closed, as the API asks.
  const unknown = peers.includes(undefined);
  const head = { policy, direction, index, ...(rule.name && { name: rule.name }) };
  if (unknown && action !== 'allow') return { ...head, action: 'deny', peers: undefined, ports: undefined };
  const ports = rule.protocols?.length ? rule.protocols.flatMap(portsOf) : undefined;
  return { ...head, action, peers: unknown ? [] : peers.flatMap((each) => each ?? []), ports };
}

function peersOf(peer: EgressPeer): Peer[] | undefined {
  if (peer.networks) return peer.networks.map((cidr) => blockPeer(cidr));
  if (peer.nodes) {
    const nodeSelector = labelSelector(peer.nodes);
    return [{ kind: 'nodes', key: `nodes (${nodeSelector.text})`, nodeSelector }];
  }
  const pods = podsOf(peer);
  return pods && [pods];
}

function podsOf({ namespaces, pods }: NamespacesOrPods): PodPeer | undefined {
  if (namespaces) return podPeer({ namespaces: labelSelector(namespaces) }, undefined);
  return pods && podPeer({ namespaces: labelSelector(pods.namespaceSelector) }, labelSelector(pods.podSelector));
}

/** A name is whatever protocol the pod's port of that name has. */
function portsOf(match: ProtocolMatch): PortMatch[] {
  const name = match.destinationNamedPort;
  if (name) return Object.values(PROTOCOLS).map((protocol) => ({ kind: 'name', protocol, name }));
  return (['tcp', 'udp', 'sctp'] as const).flatMap((word) =>
    match[word] ? [portOf(PROTOCOLS[word], match[word])] : [],
  );
}

function portOf(protocol: Protocol, { destinationPort }: ProtocolPort): PortMatch {
  if (!destinationPort) return { kind: 'all', protocol };
  const { number, range } = destinationPort;
  return { kind: 'range', protocol, first: range?.start ?? number!, last: range?.end ?? number! };
}
