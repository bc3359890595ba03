// Room objects: validation of ClusterNetworkPolicies, by the marks of their CRD and in the words in which Kubernetes refuses custom resources.
import { isPrefix } from '../../addr/prefix.ts';
import type { ClusterPolicyRule, EgressPeer, NamespacesOrPods, ProtocolMatch, ProtocolPort } from '../policy-types.ts';
import type { ClusterNetworkPolicy } from '../types.ts';
import { type Causes, checkOneOf, duplicate, forbidden, invalidValue, required, tooLong, tooMany } from './causes.ts';
import { checkPolicyAnnotations } from './policy-annotations.ts';
import { validateSelector } from './selectors.ts';

const MOST = 25;
const LONGEST_NAME = 100;
const LONGEST_CIDR = 43;

export function validateClusterNetworkPolicy(causes: Causes, { metadata, spec }: ClusterNetworkPolicy): void {
  checkPolicyAnnotations(causes, metadata);
  if (!spec) {
    causes.push(required('spec'));
    return;
  }
  checkOneOf(causes, 'spec.tier', spec.tier, ['Admin', 'Baseline']);
  if (spec.priority === undefined) causes.push(required('spec.priority'));
  else checkBetween(causes, 'spec.priority', spec.priority, 0, 1000);
  if (spec.subject) validatePods(causes, 'spec.subject', spec.subject);
  else causes.push(required('spec.subject'));
  for (const direction of ['ingress', 'egress'] as const) {
    const rules = spec[direction] ?? [];
    if (rules.length > MOST) causes.push(tooMany(`spec.${direction}`, rules.length, MOST));
    for (const [i, rule] of rules.entries()) validateRule(causes, `spec.${direction}[${i}]`, direction, rule);
  }
}

function checkBetween(causes: Causes, field: string, value: number, least: number, most: number): void {
  const in_ = `${field} in body should be`;
  if (value < least) causes.push(invalidValue(field, value, `${in_} greater than or equal to ${least}`));
  if (value > most) causes.push(invalidValue(field, value, `${in_} less than or equal to ${most}`));
}

/** Exactly one of the fields that there are. */
function checkOneField(causes: Causes, field: string, object: object): boolean {
  const count = Object.keys(object).length;
  if (count === 0) causes.push(invalidValue(field, 0, `${field} in body should have at least 1 properties`));
  if (count > 1) causes.push(tooMany(field, count, 1));
  return count === 1;
}

/** From 1 to 25. */
function checkCount(causes: Causes, field: string, list: readonly unknown[]): void {
  if (list.length === 0) causes.push(invalidValue(field, 0, `${field} in body should have at least 1 items`));
  if (list.length > MOST) causes.push(tooMany(field, list.length, MOST));
}

function validateRule(causes: Causes, at: string, direction: 'ingress' | 'egress', rule: ClusterPolicyRule): void {
  if ((rule.name?.length ?? 0) > LONGEST_NAME) causes.push(tooLong(`${at}.name`, LONGEST_NAME));
  checkOneOf(causes, `${at}.action`, rule.action, ['Accept', 'Deny', 'Pass']);
  const side = direction === 'ingress' ? 'from' : 'to';
  const peers: readonly EgressPeer[] | undefined = rule[side];
  if (!peers) causes.push(required(`${at}.${side}`));
  else checkCount(causes, `${at}.${side}`, peers);
  for (const [i, peer] of (peers ?? []).entries()) validatePeer(causes, `${at}.${side}[${i}]`, peer);
  if (rule.protocols) checkCount(causes, `${at}.protocols`, rule.protocols);
  for (const [i, each] of (rule.protocols ?? []).entries()) validateProtocol(causes, `${at}.protocols[${i}]`, each);
  const hasAddresses = peers?.some(({ networks, nodes, domainNames }) => networks ?? nodes ?? domainNames);
  if (!hasAddresses || !rule.protocols?.some(({ destinationNamedPort }) => destinationNamedPort !== undefined)) return;
  const why =
    'networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts for networks/nodes/domainNames';
  causes.push(invalidValue(at, 'object', why));
}

function validatePods(causes: Causes, at: string, of: NamespacesOrPods): void {
  if (!checkOneField(causes, at, of)) return;
  validateSelector(causes, `${at}.namespaces`, of.namespaces);
  if (!of.pods) return;
  validateSelector(causes, `${at}.pods.namespaceSelector`, of.pods.namespaceSelector);
  if (of.pods.podSelector) validateSelector(causes, `${at}.pods.podSelector`, of.pods.podSelector);
  else causes.push(required(`${at}.pods.podSelector`));
}

function validatePeer(causes: Causes, at: string, peer: EgressPeer): void {
  validatePods(causes, at, peer);
  validateSelector(causes, `${at}.nodes`, peer.nodes);
  if (peer.domainNames) {
    causes.push(forbidden(`${at}.domainNames`, 'domain names are not enforced here; name their networks'));
  }
  if (!peer.networks) return;
  checkCount(causes, `${at}.networks`, peer.networks);
  const seen = new Set<string>();
  for (const [i, cidr] of peer.networks.entries()) {
    const field = `${at}.networks[${i}]`;
    if (cidr.length > LONGEST_CIDR) causes.push(tooLong(field, LONGEST_CIDR));
    if (!isPrefix(cidr)) causes.push(invalidValue(field, cidr, 'Invalid CIDR format provided'));
    if (seen.has(cidr)) causes.push(duplicate(field, cidr));
    seen.add(cidr);
  }
}

function validateProtocol(causes: Causes, at: string, match: ProtocolMatch): void {
  if (!checkOneField(causes, at, match)) return;
  for (const word of ['tcp', 'udp', 'sctp'] as const) {
    if (match[word]) validatePort(causes, `${at}.${word}`, match[word]);
  }
}

function validatePort(causes: Causes, at: string, of: ProtocolPort): void {
  if (!checkOneField(causes, at, of) || !of.destinationPort) return;
  const field = `${at}.destinationPort`;
  if (!checkOneField(causes, field, of.destinationPort)) return;
  const { number, range } = of.destinationPort;
  if (number !== undefined) checkBetween(causes, `${field}.number`, number, 1, 65535);
  if (!range) return;
  const ends = (['start', 'end'] as const).filter((end) => range[end] === undefined);
  for (const end of ends) causes.push(required(`${field}.range.${end}`));
  if (ends.length > 0) return;
  for (const end of ['start', 'end'] as const) checkBetween(causes, `${field}.range.${end}`, range[end], 1, 65535);
  if (range.start >= range.end) {
    causes.push(invalidValue(`${field}.range`, 'object', 'Start port must be less than End port'));
  }
}
