// Room objects: validation of NetworkPolicies.
import type { V1IPBlock, V1NetworkPolicyPeer, V1NetworkPolicyPort } from '@kubernetes/client-node';
import { type Prefix, parsePrefix } from '../../addr/prefix.ts';
import type { Json, NetworkPolicy } from '../types.ts';
import { checkCIDR, checkPort, isStrictSubset, PROTOCOLS } from './addresses.ts';
import { type Causes, checkOptionalOneOf, forbidden, invalidValue, notSupported, required, tooMany } from './causes.ts';
import { checkPolicyAnnotations } from './policy-annotations.ts';
import { validateSelector } from './selectors.ts';

export function validateNetworkPolicy(causes: Causes, { metadata, spec }: NetworkPolicy): void {
  checkPolicyAnnotations(causes, metadata);
  if (!spec) return;
  validateSelector(causes, 'spec.podSelector', spec.podSelector);
  for (const [i, rule] of (spec.ingress ?? []).entries()) {
    validateRule(causes, `spec.ingress[${i}]`, 'from', rule.from ?? [], rule.ports ?? []);
  }
  for (const [i, rule] of (spec.egress ?? []).entries()) {
    validateRule(causes, `spec.egress[${i}]`, 'to', rule.to ?? [], rule.ports ?? []);
  }
  const types = spec.policyTypes ?? [];
  if (types.length > 2) {
    causes.push(tooMany('spec.policyTypes', types.length, 2));
    return;
  }
  for (const [i, type] of types.entries()) {
    if (type === 'Ingress' || type === 'Egress') continue;
    causes.push(notSupported(`spec.policyTypes[${i}]`, type, ['Egress', 'Ingress']));
  }
}

function validateRule(
  causes: Causes,
  at: string,
  side: 'from' | 'to',
  peers: readonly Json<V1NetworkPolicyPeer>[],
  ports: readonly Json<V1NetworkPolicyPort>[],
): void {
  for (const [i, port] of ports.entries()) validatePort(causes, `${at}.ports[${i}]`, port);
  for (const [i, peer] of peers.entries()) validatePeer(causes, `${at}.${side}[${i}]`, peer);
}

function validatePort(causes: Causes, at: string, { protocol, port, endPort }: Json<V1NetworkPolicyPort>): void {
  checkOptionalOneOf(causes, `${at}.protocol`, protocol, PROTOCOLS);
  if (port === undefined) {
    if (endPort !== undefined) causes.push(required(`${at}.port`, 'must be specified when `endPort` is set'));
    return;
  }
  checkPort(causes, `${at}.port`, port);
  if (endPort === undefined) return;
  if (typeof port !== 'number') {
    causes.push(invalidValue(`${at}.endPort`, endPort, 'may not be specified when `port` is non-numeric'));
  } else if (endPort < port) {
    causes.push(invalidValue(`${at}.endPort`, endPort, 'must be greater than or equal to `port`'));
  } else checkPort(causes, `${at}.endPort`, endPort);
}

function validatePeer(causes: Causes, at: string, peer: Json<V1NetworkPolicyPeer>): void {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  validateSelector(causes, `${at}.podSelector`, podSelector);
  validateSelector(causes, `${at}.namespaceSelector`, namespaceSelector);
  if (ipBlock) validateBlock(causes, `${at}.ipBlock`, ipBlock);
  if (!podSelector && !namespaceSelector && !ipBlock) causes.push(required(at, 'must specify a peer'));
  else if (ipBlock && (podSelector || namespaceSelector)) {
    causes.push(forbidden(at, 'may not specify both ipBlock and another peer'));
  }
}

function validateBlock(causes: Causes, at: string, { cidr, except = [] }: Json<V1IPBlock>): void {
  if (!cidr) {
    causes.push(required(`${at}.cidr`));
    return;
  }
  const outer = lenientCIDR(causes, `${at}.cidr`, cidr);
  for (const [i, text] of except.entries()) {
    const inner = lenientCIDR(causes, `${at}.except[${i}]`, text);
    if (!outer || !inner || isStrictSubset(inner, outer)) continue;
    causes.push(invalidValue(`${at}.except[${i}]`, text, 'must be a strict subset of `cidr`'));
  }
}

/** Policies written before Kubernetes grew strict have host bits set: they are read as their network. */
function lenientCIDR(causes: Causes, field: string, text: string): Prefix | undefined {
  try {
    return parsePrefix(text);
  } catch {
    return checkCIDR(causes, field, text);
  }
}
