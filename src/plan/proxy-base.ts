// Room plan: the tables, sets and chains that Services share on a node: present from the start, whatever Services there are.
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import type { NftChain, NftFamily, NftItem, NftRule, NftSet, NftStatement } from '../kernel/nft-items.ts';
import type { Fragment } from './plan.ts';

/** What a node knows of itself when it plans. */
export interface NodeFacts {
  readonly nodeName: string;
  /** One per family; a family without one gets no Services. */
  readonly nodeIPs: readonly IP[];
  /** The node's own share of the pods' addresses; empty until it is given one. */
  readonly ownPodCIDRs: readonly CIDR[];
  /** Of the whole cluster. */
  readonly podCIDRs: readonly CIDR[];
  readonly serviceCIDRs: readonly CIDR[];
  /** Service addresses that the node's own DNS server answers on. */
  readonly dnsIPs: readonly IP[];
}

/** One table per family. */
export const TABLE = 'podwire';
/** address . protocol . port of a Service to the chain of its number of endpoints. */
export const SERVICES = 'services';
/** address . protocol . port . index to an endpoint's address . port. */
export const ENDPOINTS = 'endpoints';
/** Addresses of this node's endpoints, twice: traffic of a pod that was sent to itself. */
export const HAIRPIN = 'hairpin';
/** address . protocol . port of this node's pods that are reached by a port of the node. */
export const HOST_PORT_TARGETS = 'host-port-targets';
/** Where the traffic of Services without endpoints goes. */
export const REFUSE = 'refuse';

/** A chain for each number of endpoints up to this is there from the start: a chain that comes late costs 25 ms at 10,000 Services. */
const CHAINS_AHEAD = 16;
const DSTNAT = -100;
const SRCNAT = 100;
const RAW = -300;

export interface Place {
  readonly family: NftFamily;
  readonly table: string;
}

export function placeOf(family: Family): Place {
  return { family: family === 4 ? 'ip' : 'ip6', table: TABLE };
}

/** Words of rules that differ between the families. */
export function wordsOf(family: Family) {
  return family === 4
    ? ({ saddr: 'ip saddr', daddr: 'ip daddr', address: 'ipv4_addr' } as const)
    : ({ saddr: 'ip6 saddr', daddr: 'ip6 daddr', address: 'ipv6_addr' } as const);
}

export function ofFamily<T extends string>(family: Family, addresses: readonly T[]): T[] {
  return addresses.filter((address) => familyOf(address) === family);
}

export function familiesOf(facts: NodeFacts): Family[] {
  return ([4, 6] as const).filter((family) => facts.nodeIPs.some((ip) => familyOf(ip) === family));
}

/** Fragment `proxy/base`. */
export function planProxyBase(facts: NodeFacts): Fragment {
  const items = familiesOf(facts).flatMap((family) => baseItems(facts, family));
  return { cause: { kind: 'Node', name: facts.nodeName }, items };
}

function baseItems(facts: NodeFacts, family: Family): NftItem[] {
  const place = placeOf(family);
  const { address } = wordsOf(family);
  const key = [address, 'inet_proto', 'inet_service'] as const;
  return [
    { kind: 'table', ...place },
    { kind: 'set', ...place, set: SERVICES, key, data: ['verdict'] },
    { kind: 'set', ...place, set: ENDPOINTS, key: [...key, 'integer'], data: [address, 'inet_service'] },
    hairpinSet(family),
    hostPortTargetsSet(family),
    refuseChain(place),
    ...Array.from({ length: CHAINS_AHEAD }, (_, i) => balanceChain(family, i + 1)),
    ...serviceHooks(facts, family),
    sourceChain(facts, family),
    ...dnsHooks(facts, family),
  ];
}

export function hairpinSet(family: Family): NftSet {
  const { address } = wordsOf(family);
  return { kind: 'set', ...placeOf(family), set: HAIRPIN, key: [address, address] };
}

export function hostPortTargetsSet(family: Family): NftSet {
  const key = [wordsOf(family).address, 'inet_proto', 'inet_service'] as const;
  return { kind: 'set', ...placeOf(family), set: HOST_PORT_TARGETS, key };
}

/** TCP is told at once by a reset, all else by ICMP: a client without an answer would wait. */
function refuseChain(place: Place): NftChain {
  const tcp: NftStatement = { kind: 'match', left: 'meta l4proto', right: 'tcp' };
  return {
    kind: 'chain',
    ...place,
    chain: REFUSE,
    rules: [
      { statements: [tcp, { kind: 'reject', with: 'tcp reset' }] },
      { statements: [{ kind: 'reject', with: 'port-unreachable' }] },
    ],
  };
}

/**
 * Chain n<count>: one of so many endpoints at random. All Services with as many endpoints share it.
 *
 * A packet's lookups are not of one moment: when endpoints become fewer between the lookup of the count and that of the endpoint, there
 * is none at the index. Passed on untranslated, the flow would be tracked so and time out; so the first endpoint takes it,
 * and where there is not even that one, it is refused.
 */
export function balanceChain(family: Family, count: number): NftChain {
  const place = placeOf(family);
  const { daddr } = wordsOf(family);
  const key = [daddr, 'meta l4proto', 'th dport', { compute: 'random', mod: count }] as const;
  // One rule a protocol: nft takes a port translation only after a protocol, and a set of them would be one more set per chain.
  const rules = (['tcp', 'udp', 'sctp'] as const).map((protocol) => ({
    statements: [
      { kind: 'match', left: 'meta l4proto', right: protocol },
      { kind: 'dnat', key, map: ENDPOINTS },
    ] satisfies NftStatement[],
  }));
  const missed: NftStatement = { kind: 'verdict', verdict: 'goto', chain: count === 1 ? REFUSE : 'n1' };
  return { kind: 'chain', ...place, chain: `n${count}`, rules: [...rules, { statements: [missed] }] };
}

/** Traffic from pods and from outside comes in by prerouting, the node's own goes out by output. */
function serviceHooks(facts: NodeFacts, family: Family): NftChain[] {
  const place = placeOf(family);
  const { daddr } = wordsOf(family);
  const translate: NftRule = {
    statements: [{ kind: 'vmap', key: [daddr, 'meta l4proto', 'th dport'], map: SERVICES }],
  };
  // No address of a Service is anywhere else: without this, traffic to a port that it does not have would leave the cluster.
  const refuse = ofFamily(family, facts.serviceCIDRs).map(
    (cidr): NftRule => ({
      statements: [
        { kind: 'match', left: daddr, right: cidr },
        { kind: 'verdict', verdict: 'goto', chain: REFUSE },
      ],
    }),
  );
  return (['prerouting', 'output'] as const).map((hook) => ({
    kind: 'chain',
    ...place,
    chain: `services-${hook}`,
    base: { type: 'nat', hook, priority: DSTNAT },
    rules: [translate, ...refuse],
  }));
}

/**
 * Answers must come back through the node that translated. They do to this node's own pods and addresses; for a client outside
 * and for a pod that was sent to itself the node puts its own address in place of the source.
 */
function sourceChain(facts: NodeFacts, family: Family): NftChain {
  const { saddr, daddr } = wordsOf(family);
  const nodeIP = ofFamily(family, facts.nodeIPs)[0]!;
  const translated: NftStatement = { kind: 'match', left: 'ct status', right: 'dnat' };
  // Not masquerade: that takes any address of any interface where the outgoing one has none, as a pod's has.
  const snat: NftStatement = { kind: 'snat', to: nodeIP };
  // Its pod answers through this node, whoever asked: a published port keeps the client's address.
  const published: NftStatement = {
    kind: 'lookup',
    key: [daddr, 'meta l4proto', 'th dport'],
    set: HOST_PORT_TARGETS,
  };
  const notOwn = ofFamily(family, facts.ownPodCIDRs).map(
    (cidr): NftStatement => ({ kind: 'match', left: saddr, not: true, right: cidr }),
  );
  return {
    kind: 'chain',
    ...placeOf(family),
    chain: 'services-source',
    base: { type: 'nat', hook: 'postrouting', priority: SRCNAT },
    rules: [
      { statements: [translated, { kind: 'lookup', key: [saddr, daddr], set: HAIRPIN }, snat] },
      { statements: [translated, published, { kind: 'verdict', verdict: 'return' }] },
      { statements: [translated, ...notOwn, snat] },
    ],
  };
}

/** DNS is answered on the node itself and stays out of connection tracking, whose races cost clients seconds. */
function dnsHooks(facts: NodeFacts, family: Family): NftChain[] {
  const { saddr, daddr } = wordsOf(family);
  const addresses = ofFamily(family, facts.dnsIPs);
  if (addresses.length === 0) return [];
  const rules = addresses.flatMap((ip) =>
    ([daddr, saddr] as const).map((left) => ({
      statements: [{ kind: 'match', left, right: ip }, { kind: 'notrack' }] satisfies NftStatement[],
    })),
  );
  return (['prerouting', 'output'] as const).map((hook) => ({
    kind: 'chain',
    ...placeOf(family),
    chain: `dns-${hook}`,
    base: { type: 'filter', hook, priority: RAW },
    rules,
  }));
}

/** Whether balanceChain(count) is in the base. */
export function isAhead(count: number): boolean {
  return count <= CHAINS_AHEAD;
}
