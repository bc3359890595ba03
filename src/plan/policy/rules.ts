// Room plan: a NetworkPolicy as the engine reads it: whom it selects, what it isolates, and its rules with missing and empty told apart.
import type { V1NetworkPolicyPeer, V1NetworkPolicyPort } from '@kubernetes/client-node';
import { type Family, type IP, ipToBigInt } from '../../addr/ip.ts';
import { networkOf, parsePrefix, prefixSize } from '../../addr/prefix.ts';
import { type LabelSelector, selectorText } from '../../objects/select.ts';
import { type Json, type NetworkPolicy, type ObjectRef, objectKey } from '../../objects/types.ts';

export type Direction = 'ingress' | 'egress';
export const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];
export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** Ports of one protocol: all of them, a range (of one port where both are the same), or the one that a pod gives the name. */
export type PortMatch =
  | { readonly kind: 'all'; readonly protocol: Protocol }
  | { readonly kind: 'range'; readonly protocol: Protocol; readonly first: number; readonly last: number }
  | { readonly kind: 'name'; readonly protocol: Protocol; readonly name: string };

/** Pods of one namespace, or of those that the selector matches. No podSelector: all of their pods. Equal keys mean equal peers. */
export interface PodPeer {
  readonly kind: 'pods';
  readonly key: string;
  readonly scope: { readonly namespace: string } | { readonly namespaces: LabelSelector };
  readonly podSelector: LabelSelector | undefined;
}

/** `ranges` are the block's addresses without those of its exceptions: rising, apart from each other, both ends inside. */
export interface BlockPeer {
  readonly kind: 'block';
  readonly key: string;
  readonly family: Family;
  readonly ranges: readonly AddressRange[];
}

export interface AddressRange {
  readonly first: bigint;
  readonly last: bigint;
}

export type Peer = PodPeer | BlockPeer;

export interface Rule {
  readonly policy: PolicyRules;
  readonly direction: Direction;
  /** Its place in spec.ingress or spec.egress. */
  readonly index: number;
  /** Absent: everybody. */
  readonly peers: readonly Peer[] | undefined;
  /** Absent: every port, and protocols without ports too. */
  readonly ports: readonly PortMatch[] | undefined;
}

export interface PolicyRules {
  /** `namespace/name` */
  readonly key: string;
  readonly ref: ObjectRef;
  readonly namespace: string;
  readonly podSelector: LabelSelector;
  readonly isolates: readonly Direction[];
  /** Of the directions that it isolates. */
  readonly rules: Readonly<Record<Direction, readonly Rule[]>>;
}

/** `NetworkPolicy/shop/web ingress[0]`: how a rule is named in the kernel, in logs and to users. */
export function ruleText({ policy, direction, index }: Rule): string {
  return `NetworkPolicy/${policy.key} ${direction}[${index}]`;
}

/** All pods of all namespaces. */
export const EVERY_POD: PodPeer = podPeer({ namespaces: {} }, undefined);

/** Expects an object that the API has validated, or would: blocks are prefixes, ports are in range. */
export function policyRules(object: NetworkPolicy): PolicyRules {
  const { spec } = object;
  const namespace = object.metadata.namespace ?? 'default';
  const ref: ObjectRef = { kind: 'NetworkPolicy', namespace, name: object.metadata.name };
  const types = spec?.policyTypes?.length
    ? spec.policyTypes
    : spec?.egress?.length
      ? ['Ingress', 'Egress']
      : ['Ingress'];
  const isolates = DIRECTIONS.filter((direction) => types.includes(direction === 'ingress' ? 'Ingress' : 'Egress'));
  const rules: Record<Direction, Rule[]> = { ingress: [], egress: [] };
  const policy = { key: objectKey(object), ref, namespace, podSelector: spec?.podSelector ?? {}, isolates, rules };
  for (const [index, { from, ports }] of (spec?.ingress ?? []).entries()) {
    if (isolates.includes('ingress')) rules.ingress.push(rule(policy, 'ingress', index, from, ports));
  }
  for (const [index, { to, ports }] of (spec?.egress ?? []).entries()) {
    if (isolates.includes('egress')) rules.egress.push(rule(policy, 'egress', index, to, ports));
  }
  return policy;
}

function rule(
  policy: PolicyRules,
  direction: Direction,
  index: number,
  peers: readonly Json<V1NetworkPolicyPeer>[] | undefined,
  ports: readonly Json<V1NetworkPolicyPort>[] | undefined,
): Rule {
  return {
    policy,
    direction,
    index,
    peers: peers?.length ? peers.map((peer) => peerOf(peer, policy.namespace)) : undefined,
    ports: ports?.length ? ports.map(portMatch) : undefined,
  };
}

function peerOf({ ipBlock, namespaceSelector, podSelector }: Json<V1NetworkPolicyPeer>, namespace: string): Peer {
  if (ipBlock) return blockPeer(ipBlock.cidr, ipBlock.except ?? []);
  return podPeer(namespaceSelector ? { namespaces: namespaceSelector } : { namespace }, podSelector);
}

function podPeer(scope: PodPeer['scope'], podSelector: LabelSelector | undefined): PodPeer {
  const selected = podSelector && selectorText(podSelector) !== '' ? podSelector : undefined;
  const where =
    'namespace' in scope ? `namespace ${scope.namespace}` : `namespaces (${selectorText(scope.namespaces)})`;
  return {
    kind: 'pods',
    key: `${where} pods (${selected ? selectorText(selected) : ''})`,
    scope,
    podSelector: selected,
  };
}

function blockPeer(cidr: string, except: readonly string[]): BlockPeer {
  const { family } = parsePrefix(cidr);
  const holes = [...new Set(except.map((each) => networkOf(each)))].sort();
  const key = `block ${networkOf(cidr)}${holes.length > 0 ? ` except ${holes.join(',')}` : ''}`;
  return { kind: 'block', key, family, ranges: without(prefixRange(cidr), holes.map(prefixRange)) };
}

function prefixRange(cidr: string): AddressRange {
  const first = ipToBigInt(parsePrefix(networkOf(cidr)).ip);
  return { first, last: first + prefixSize(cidr) - 1n };
}

function without(whole: AddressRange, holes: readonly AddressRange[]): AddressRange[] {
  const rest: AddressRange[] = [];
  let next = whole.first;
  for (const hole of holes.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    if (hole.first > next) rest.push({ first: next, last: hole.first - 1n });
    if (hole.last + 1n > next) next = hole.last + 1n;
  }
  if (next <= whole.last) rest.push({ first: next, last: whole.last });
  return rest;
}

export function inBlock({ family, ranges }: BlockPeer, ip: IP): boolean {
  if (ip.includes(':') !== (family === 6)) return false;
  const number = ipToBigInt(ip);
  return ranges.some(({ first, last }) => first <= number && number <= last);
}

function portMatch({ protocol, port, endPort }: Json<V1NetworkPolicyPort>): PortMatch {
  const named = (protocol ?? 'TCP') as Protocol;
  if (port === undefined || port === null) return { kind: 'all', protocol: named };
  if (typeof port === 'string') return { kind: 'name', protocol: named, name: port };
  return { kind: 'range', protocol: named, first: port, last: endPort ?? port };
}
