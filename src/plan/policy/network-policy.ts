// Room plan: a NetworkPolicy as the engine reads it, with missing and empty told apart.
import type { V1NetworkPolicyPeer, V1NetworkPolicyPort } from '@kubernetes/client-node';
import type { Json, NetworkPolicy } from '../../objects/types.ts';
import { blockPeer } from './address-block.ts';
import {
  DIRECTIONS,
  type Direction,
  type Peer,
  type PolicyRules,
  type PortMatch,
  type Protocol,
  podPeer,
  policyHead,
  type Rule,
} from './rules.ts';
import { labelSelector } from './selector.ts';
import { DEFAULT_TIER, NETWORK_POLICY_ORDER } from './tiers.ts';

/** Expects an object that the API has validated, or would: blocks are prefixes, ports are in range. */
export function networkPolicyRules({ metadata, spec }: NetworkPolicy): PolicyRules {
  const namespace = metadata.namespace ?? 'default';
  const types = spec?.policyTypes?.length
    ? spec.policyTypes
    : spec?.egress?.length
      ? ['Ingress', 'Egress']
      : ['Ingress'];
  const directions = DIRECTIONS.filter((direction) => types.includes(direction === 'ingress' ? 'Ingress' : 'Egress'));
  const rules: Record<Direction, Rule[]> = { ingress: [], egress: [] };
  const policy: PolicyRules = {
    ...policyHead('NetworkPolicy', metadata, true),
    tier: DEFAULT_TIER,
    order: NETWORK_POLICY_ORDER,
    subject: podPeer({ namespace }, labelSelector(spec?.podSelector)),
    directions,
    rules,
  };
  const peersOf = (list: readonly Json<V1NetworkPolicyPeer>[] | undefined) =>
    list?.length ? list.map((peer) => peerOf(peer, namespace)) : undefined;
  for (const [index, { from, ports }] of (spec?.ingress ?? []).entries()) {
    if (directions.includes('ingress')) rules.ingress.push(rule(policy, 'ingress', index, peersOf(from), ports));
  }
  for (const [index, { to, ports }] of (spec?.egress ?? []).entries()) {
    if (directions.includes('egress')) rules.egress.push(rule(policy, 'egress', index, peersOf(to), ports));
  }
  return policy;
}

function rule(
  policy: PolicyRules,
  direction: Direction,
  index: number,
  peers: readonly Peer[] | undefined,
  ports: readonly Json<V1NetworkPolicyPort>[] | undefined,
): Rule {
  return { policy, direction, index, action: 'allow', peers, ports: ports?.length ? ports.map(portMatch) : undefined };
}

function peerOf({ ipBlock, namespaceSelector, podSelector }: Json<V1NetworkPolicyPeer>, namespace: string): Peer {
  if (ipBlock) return blockPeer(ipBlock.cidr, ipBlock.except ?? []);
  const scope = namespaceSelector ? { namespaces: labelSelector(namespaceSelector) } : { namespace };
  return podPeer(scope, podSelector && labelSelector(podSelector));
}

function portMatch({ protocol, port, endPort }: Json<V1NetworkPolicyPort>): PortMatch {
  const named = (protocol ?? 'TCP') as Protocol;
  if (port === undefined || port === null) return { kind: 'all', protocol: named };
  if (typeof port === 'string') return { kind: 'name', protocol: named, name: port };
  return { kind: 'range', protocol: named, first: port, last: endPort ?? port };
}
