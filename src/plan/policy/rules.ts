// Room plan: a policy as the engine reads it, of whatever kind it is: whom it selects, where it stands among others, and its rules.
import { type ObjectRef, refText } from '../../objects/types.ts';
import type { BlockPeer } from './address-block.ts';
import { EVERYTHING, type Selector } from './selector.ts';

export type Direction = 'ingress' | 'egress';
export const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];
/** Protocols that have ports. */
export type Protocol = 'TCP' | 'UDP' | 'SCTP';
/** `other`: each that has no name here. */
export type FlowProtocol = Protocol | 'ICMP' | 'ICMPv6' | 'UDPLite' | 'other';

export const FLOW_PROTOCOLS: readonly FlowProtocol[] = ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6', 'UDPLite', 'other'];

export function flowProtocol(name: string): FlowProtocol {
  return FLOW_PROTOCOLS.find((known) => known === name) ?? 'other';
}

/** Ports of one protocol: all of them, a range (of one port where both are the same), or the one that a pod gives the name. */
export type PortMatch =
  | { readonly kind: 'all'; readonly protocol: FlowProtocol }
  | { readonly kind: 'range'; readonly protocol: Protocol; readonly first: number; readonly last: number }
  | { readonly kind: 'name'; readonly protocol: Protocol; readonly name: string };

/** Pods of one namespace, or of those that the selector matches. No podSelector: all of their pods. Equal keys mean equal peers. */
export interface PodPeer {
  readonly kind: 'pods';
  readonly key: string;
  readonly scope: { readonly namespace: string } | { readonly namespaces: Selector };
  readonly podSelector: Selector | undefined;
}

/** The addresses of nodes. */
export interface NodePeer {
  readonly kind: 'nodes';
  readonly key: string;
  readonly nodeSelector: Selector;
}

/** What an address is or is not. */
export type AtomicPeer = PodPeer | BlockPeer | NodePeer;

/** Whoever each condition holds for: is (or is not) one of these. */
export interface EntityPeer {
  readonly kind: 'entity';
  readonly key: string;
  readonly conditions: readonly { readonly not: boolean; readonly anyOf: readonly AtomicPeer[] }[];
}

export type Peer = AtomicPeer | EntityPeer;

/** `pass`: the rest of the tier has no say. `log`: the packet is told of, and goes on to the next rule. */
export type Action = 'allow' | 'deny' | 'pass' | 'log';

export interface Rule {
  readonly policy: PolicyRules;
  readonly direction: Direction;
  /** Its place in spec.ingress or spec.egress. */
  readonly index: number;
  /** As its author calls it; absent where the kind has no names or it has none. */
  readonly name?: string;
  readonly action: Action;
  /** Absent: everybody. */
  readonly peers: readonly Peer[] | undefined;
  /** Absent: every port, and protocols without ports too. */
  readonly ports: readonly PortMatch[] | undefined;
}

export interface PolicyRules {
  /** `NetworkPolicy/shop/web`: unique among all kinds, and how it is named to users. */
  readonly id: string;
  /** `namespace/name`, or `name` where the kind has no namespaces. */
  readonly key: string;
  readonly ref: ObjectRef;
  /** Name of its tier (tiers.ts). */
  readonly tier: string;
  /** Its place in the tier, rising. Of several with one order the name decides. */
  readonly order: number;
  readonly subject: PodPeer;
  /** In which it has a say. */
  readonly directions: readonly Direction[];
  /** Of these directions, in the order in which they are asked. */
  readonly rules: Readonly<Record<Direction, readonly Rule[]>>;
  /** It counts what it would do, and does nothing. */
  readonly staged: boolean;
  /** New connections that its rules allow are told of. */
  readonly logsAllowed: boolean;
}

/** `NetworkPolicy/shop/web ingress[0]`: how a rule is named in the kernel, in logs and to users. */
export function ruleText({ policy, direction, index, name }: Rule): string {
  return `${policy.id} ${direction}[${index}]${name === undefined ? '' : ` "${name}"`}`;
}

/** All pods of all namespaces. */
export const EVERY_POD: PodPeer = podPeer({ namespaces: EVERYTHING }, undefined);

export function podPeer(scope: PodPeer['scope'], podSelector: Selector | undefined): PodPeer {
  const selected = podSelector && podSelector.text !== '' ? podSelector : undefined;
  const where = 'namespace' in scope ? `namespace ${scope.namespace}` : `namespaces (${scope.namespaces.text})`;
  return { kind: 'pods', key: `${where} pods (${selected?.text ?? ''})`, scope, podSelector: selected };
}

/** Peers that make up the peer. */
export function atomsOf(peer: Peer): readonly AtomicPeer[] {
  return peer.kind === 'entity' ? peer.conditions.flatMap(({ anyOf }) => anyOf) : [peer];
}

export const MODE = 'podwire.io/mode';
const LOG = 'podwire.io/log';

type Head = Pick<PolicyRules, 'id' | 'key' | 'ref' | 'staged' | 'logsAllowed'>;

/** `kind` is how users are told of it: kinds of one name in several groups need another. */
export function policyHead(
  kind: string,
  metadata: { name?: string; namespace?: string; annotations?: Record<string, string> },
  namespaced: boolean,
): Head {
  const { annotations = {} } = metadata;
  const name = metadata.name!;
  const namespace = metadata.namespace ?? 'default';
  const ref: ObjectRef = { kind, ...(namespaced && { namespace }), name };
  return {
    id: refText(ref),
    key: namespaced ? `${namespace}/${name}` : name,
    ref,
    staged: annotations[MODE] === 'staged',
    logsAllowed: annotations[LOG] === 'allowed',
  };
}
