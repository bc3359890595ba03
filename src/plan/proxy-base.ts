// Room plan: the tables, sets and chains that Services share on a node: present from the start, whatever Services there are.
import type { Family } from '../addr/ip.ts';
import type { NftChain, NftItem, NftRule, NftSet, NftStatement } from '../kernel/nft-items.ts';
import type { Fragment } from './plan.ts';
import { balanceChain, CHAINS_AHEAD } from './proxy-chains.ts';
import {
  AFFINITY,
  DROP,
  DROPPED,
  ENDPOINTS,
  ENDPOINTS_OUTSIDE,
  familiesOf,
  HAIRPIN,
  HOST_PORT_TARGETS,
  KEEP_SOURCE,
  type NodeFacts,
  ofFamily,
  PICKS,
  type Place,
  placeOf,
  REFUSE,
  SERVICES,
  SERVICES_OUTSIDE,
  SOURCES,
  TRAFFIC,
  wordsOf,
} from './proxy-names.ts';

/** Clients that are remembered at most, over all Services of a family. */
const MOST_CLIENTS = 262_144;
const DSTNAT = -100;
const AFTER_DSTNAT = -90;
const SRCNAT = 100;
const RAW = -300;

/** Fragment `proxy/base`. */
export function planProxyBase(facts: NodeFacts): Fragment {
  const items = familiesOf(facts).flatMap((family) => baseItems(facts, family));
  return { cause: { kind: 'Node', name: facts.nodeName }, items };
}

function baseItems(facts: NodeFacts, family: Family): NftItem[] {
  const place = placeOf(family);
  const { address } = wordsOf(family);
  const key = frontendKey(family);
  return [
    { kind: 'table', ...place },
    { kind: 'set', ...place, set: SERVICES, key, data: ['verdict'] },
    { kind: 'set', ...place, set: SERVICES_OUTSIDE, key, data: ['verdict'] },
    { kind: 'set', ...place, set: ENDPOINTS, key: [...key, 'integer'], data: [address, 'inet_service'] },
    { kind: 'set', ...place, set: ENDPOINTS_OUTSIDE, key: [...key, 'integer'], data: [address, 'inet_service'] },
    { kind: 'set', ...place, set: PICKS, key: [...key, 'integer'], data: ['mark'] },
    affinitySet(family),
    { kind: 'set', ...place, set: KEEP_SOURCE, key },
    droppedSet(family),
    { kind: 'set', ...place, set: SOURCES, key: [...key, address], flags: ['interval'] },
    hairpinSet(family),
    hostPortTargetsSet(family),
    refuseChain(place),
    dropChain(family),
    ...Array.from({ length: CHAINS_AHEAD }, (_, i) => balanceChain(family, i + 1)),
    ...serviceHooks(facts, family),
    sourceChain(facts, family),
    ...dnsHooks(facts, family),
    ...(facts.countServices ? trafficItems(family) : []),
  ];
}

function frontendKey(family: Family) {
  return [wordsOf(family).address, 'inet_proto', 'inet_service'] as const;
}

function droppedSet(family: Family): NftSet {
  return { kind: 'set', ...placeOf(family), set: DROPPED, key: frontendKey(family), counter: true };
}

function trafficSet(family: Family): NftSet {
  return { kind: 'set', ...placeOf(family), set: TRAFFIC, key: frontendKey(family), counter: true };
}

/** Packets of a connection are the Service's both ways; each passes one of the hooks at which the node sees it first. */
function trafficItems(family: Family): NftItem[] {
  const statements: NftStatement[] = [
    { kind: 'match', left: 'ct status', right: 'dnat' },
    { kind: 'lookup', key: originalKey(family), set: TRAFFIC },
  ];
  const chains = (['prerouting', 'output'] as const).map(
    (hook): NftChain => ({
      kind: 'chain',
      ...placeOf(family),
      chain: `traffic-${hook}`,
      base: { type: 'filter', hook, priority: AFTER_DSTNAT },
      rules: [{ statements }],
    }),
  );
  return [trafficSet(family), ...chains];
}

/** Where the client sent it, which only connection tracking knows once it is translated. */
function originalKey(family: Family) {
  const daddr = family === 4 ? 'ct original ip daddr' : 'ct original ip6 daddr';
  return [daddr, 'meta l4proto', 'ct original proto-dst'] as const;
}

/** Sets with counters of Services: of what was dropped, and, where they are counted, of all traffic. */
export function countedSets(facts: NodeFacts): NftSet[][] {
  const families = familiesOf(facts);
  return [families.map(droppedSet), ...(facts.countServices ? [families.map(trafficSet)] : [])];
}

function affinitySet(family: Family): NftSet {
  const { address } = wordsOf(family);
  const key = [address, address, 'inet_proto', 'inet_service'] as const;
  const flags = ['timeout', 'dynamic'] as const;
  return { kind: 'set', ...placeOf(family), set: AFFINITY, key, data: ['mark'], flags, size: MOST_CLIENTS };
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

/** What is not wanted is counted for its Service. */
function dropChain(family: Family): NftChain {
  const { daddr } = wordsOf(family);
  const drop: NftStatement = { kind: 'verdict', verdict: 'drop' };
  return {
    kind: 'chain',
    ...placeOf(family),
    chain: DROP,
    rules: [
      { statements: [{ kind: 'lookup', key: [daddr, 'meta l4proto', 'th dport'], set: DROPPED }, drop] },
      { statements: [drop] },
    ],
  };
}

/** Traffic from pods and from outside comes in by prerouting, the node's own goes out by output. */
function serviceHooks(facts: NodeFacts, family: Family): NftChain[] {
  const place = placeOf(family);
  const { daddr } = wordsOf(family);
  const key = [daddr, 'meta l4proto', 'th dport'] as const;
  const translate: NftRule = { statements: [{ kind: 'vmap', key, map: SERVICES }] };
  const outside: NftRule = {
    statements: [...fromOutside(facts, family), { kind: 'vmap', key, map: SERVICES_OUTSIDE }],
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
    rules: hook === 'prerouting' ? [outside, translate, ...refuse] : [translate, ...refuse],
  }));
}

/** The source is no pod's. */
function fromOutside(facts: NodeFacts, family: Family): NftStatement[] {
  const { saddr } = wordsOf(family);
  return ofFamily(family, facts.podCIDRs).map((right) => ({ kind: 'match', left: saddr, not: true, right }));
}

/**
 * Answers must come back through the node that translated. They do to this node's own pods and addresses; for a client outside
 * and for a pod that was sent to itself the node puts its own address in place of the source.
 */
function sourceChain(facts: NodeFacts, family: Family): NftChain {
  const { saddr, daddr } = wordsOf(family);
  const nodeIP = ofFamily(family, facts.nodeIPs)[0]!;
  const translated: NftStatement = { kind: 'match', left: 'ct status', right: 'dnat' };
  const kept: NftStatement = { kind: 'lookup', key: originalKey(family), set: KEEP_SOURCE };
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
      { statements: [translated, ...fromOutside(facts, family), kept, { kind: 'verdict', verdict: 'return' }] },
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
