// Room plan: the tables, sets and chains by which a node holds its pods to their policies: the same whatever policies and pods there are.
import type { Family, IP } from '../../addr/ip.ts';
import type { NftChain, NftItem, NftRule, NftSelector, NftSet, NftStatement } from '../../kernel/nft-items.ts';
import type { Fragment } from '../plan.ts';
import { ofFamily, wordsOf } from '../proxy-names.ts';
import { DIRECTIONS, type Direction } from './rules.ts';

export interface NodePolicyFacts {
  readonly nodeName: string;
  readonly families: readonly Family[];
  /** Service addresses that the node's own DNS server answers on. */
  readonly dnsIPs: readonly IP[];
  /** Where refused packets are told of; absent: nowhere. */
  readonly logGroup?: number;
}

export const POLICY_TABLE = 'podwire-policy';
/** How a logged packet begins; its direction follows. */
export const LOG_PREFIXES = {
  refused: 'podwire refused ',
  allowed: 'podwire allowed ',
  'would-deny': 'podwire would-deny ',
} as const;

/** Who a peer is, in the order in which the kernel asks; each a map of addresses to the mark of their class. */
export const LEVELS = ['pods', 'namespaces', 'blocks'] as const;
export type Level = (typeof LEVELS)[number];

/** What is allowed to a class, from the widest to the narrowest; each a set of the pod's link, the class, and the ports. */
export const FORMS = ['any', 'protocols', 'ports', 'ranges'] as const;
export type Form = (typeof FORMS)[number];

/** The class of everybody. */
export const ANYBODY = 0;

/** Links of pods whose packets of this direction are judged, each with the chain that does it. */
export const isolatedSet = (direction: Direction) => `${direction}-isolated`;
/** Counts what was refused to a pod. */
export const refusedSet = (direction: Direction) => `${direction}-refused`;
export const allowedSet = (direction: Direction, form: Form) => `${direction}-${form}`;
/** Links of pods that policies in force select in whatever direction. */
export const ISOLATED = 'isolated';
/** A pod's link and its own addresses: a pod cannot block access to itself. */
export const OWN = 'own';

/** Where pods are judged that more than a union of NetworkPolicies selects: tier-base.ts. */
export const tiersChain = (direction: Direction) => `${direction}-tiers`;
export const refusedChain = (direction: Direction) => `${direction}-refused`;
/** Where a packet goes on that the direction lets pass. */
export const onwardChain = (direction: Direction) => (direction === 'egress' ? JUDGED : PASSED);

const FORWARD = 0;
const JUDGED = 'to-pod';
const PASSED = 'passed';
export const LOGS = { rate: 20, per: 'second', burst: 50 } as const;

export function policyPlace(family: Family) {
  return { family: family === 4 ? 'ip' : 'ip6', table: POLICY_TABLE } as const;
}

/**
 * Fragment `policy/base`. Filters stand where packets are forwarded: after DNAT, so that a Service's traffic is judged on the pod behind it, and
 * before SNAT. What the node itself sends to its pods never comes by: it is allowed always.
 */
export function planPolicyBase(facts: NodePolicyFacts): Fragment {
  const items = facts.families.flatMap((family): NftItem[] => [
    { kind: 'table', ...policyPlace(family) },
    ...sets(family),
    ...DIRECTIONS.flatMap((direction) => judgingChains(facts, family, direction)),
    { kind: 'chain', ...policyPlace(family), chain: PASSED, rules: [rule(mark(0), verdict('accept'))] },
    {
      kind: 'chain',
      ...policyPlace(family),
      chain: JUDGED,
      rules: [rule(judged('oifname', 'ingress')), rule(goto(PASSED))],
    },
    forwardChain(family),
    inputChain(facts, family),
  ]);
  return { cause: { kind: 'Node', name: facts.nodeName }, items };
}

function sets(family: Family): NftSet[] {
  const place = policyPlace(family);
  const { address } = wordsOf(family);
  const set = (name: string, key: NftSet['key'], more: Partial<NftSet> = {}): NftSet => ({
    kind: 'set',
    ...place,
    set: name,
    key,
    ...more,
  });
  const keys: Record<Form, NftSet['key']> = {
    any: ['ifname', 'mark'],
    protocols: ['ifname', 'mark', 'inet_proto'],
    ports: ['ifname', 'mark', 'inet_proto', 'inet_service'],
    ranges: ['ifname', 'mark', 'inet_proto', 'inet_service'],
  };
  return [
    set(ISOLATED, ['ifname']),
    set(OWN, ['ifname', address]),
    ...LEVELS.map((level) =>
      set(level, [address], { data: ['mark'], ...(level === 'blocks' && { flags: ['interval'] as const }) }),
    ),
    ...DIRECTIONS.flatMap((direction) => [
      set(isolatedSet(direction), ['ifname'], { data: ['verdict'] }),
      set(refusedSet(direction), ['ifname'], { counter: true }),
      ...FORMS.map((form) =>
        set(allowedSet(direction, form), keys[form], {
          ...(form === 'ranges' && { flags: ['interval'] as const }),
          counter: true,
        }),
      ),
    ]),
  ];
}

function forwardChain(family: Family): NftChain {
  const { daddr } = wordsOf(family);
  const midway: NftStatement[] = [match('meta l4proto', 'tcp'), { ...match('tcp flags', 'syn'), not: true }];
  return {
    kind: 'chain',
    ...policyPlace(family),
    chain: 'forward',
    base: { type: 'filter', hook: 'forward', priority: FORWARD },
    rules: [
      // A flow that was cut and that an answer may take up again is judged with each packet (kernel/conntrack-linux.ts).
      rule(
        { ...match('ct status', 'fixed-timeout'), not: true },
        match('ct state', 'established,related'),
        verdict('accept'),
      ),
      rule({ kind: 'lookup', key: ['iifname', daddr], set: OWN }, verdict('accept')),
      // A connection that was cut must not come back from its other end: tracking would take up any packet of it as a new one.
      rule(inSet('iifname', ISOLATED), ...midway, verdict('drop')),
      rule(inSet('oifname', ISOLATED), ...midway, verdict('drop')),
      rule(judged('iifname', 'egress')),
      rule(goto(JUDGED)),
    ],
  };
}

/** All that the node serves is open to its own pods, but DNS: that stands for pods that answer it elsewhere. */
function inputChain({ dnsIPs }: NodePolicyFacts, family: Family): NftChain {
  const { daddr } = wordsOf(family);
  return {
    kind: 'chain',
    ...policyPlace(family),
    chain: 'input',
    base: { type: 'filter', hook: 'input', priority: FORWARD },
    rules: ofFamily(family, dnsIPs).map((ip) => rule(match(daddr, ip), judged('iifname', 'egress'))),
  };
}

/** One look-up for each way in which a peer can be known, and under each one for each form of ports: no more, however many there are. */
function judgingChains({ logGroup }: NodePolicyFacts, family: Family, direction: Direction): NftChain[] {
  const place = policyPlace(family);
  const { saddr, daddr } = wordsOf(family);
  const [link, peer] = direction === 'egress' ? (['iifname', daddr] as const) : (['oifname', saddr] as const);
  const allowed: NftStatement = { kind: 'verdict', verdict: 'jump', chain: `${direction}-allowed` };
  const onward = goto(onwardChain(direction));
  const keys: Record<Form, readonly NftSelector[]> = {
    any: [link, 'meta mark'],
    protocols: [link, 'meta mark', 'meta l4proto'],
    ports: [link, 'meta mark', 'meta l4proto', 'th dport'],
    ranges: [link, 'meta mark', 'meta l4proto', 'th dport'],
  };
  return [
    {
      kind: 'chain',
      ...place,
      chain: direction,
      rules: [
        rule(mark(ANYBODY), allowed),
        ...LEVELS.map((level) => rule({ kind: 'set mark', key: [peer], map: level }, allowed)),
        rule(goto(refusedChain(direction))),
      ],
    },
    {
      kind: 'chain',
      ...place,
      chain: `${direction}-allowed`,
      rules: FORMS.map((form) => {
        const ordered = form === 'ranges' && { ordered: true as const };
        return rule({ kind: 'lookup', key: keys[form], set: allowedSet(direction, form), ...ordered }, onward);
      }),
    },
    {
      kind: 'chain',
      ...place,
      chain: refusedChain(direction),
      rules: [
        ...logRules(logGroup, 'refused', direction),
        rule(inSet(link, refusedSet(direction)), verdict('drop')),
        rule(verdict('drop')),
      ],
    },
  ];
}

/** Told of to whoever listens; what comes too fast is only counted. */
export function logRules(group: number | undefined, what: keyof typeof LOG_PREFIXES, direction: Direction): NftRule[] {
  if (group === undefined) return [];
  return [rule({ kind: 'limit', ...LOGS }, { kind: 'log', prefix: `${LOG_PREFIXES[what]}${direction} `, group })];
}

function judged(link: 'iifname' | 'oifname', direction: Direction): NftStatement {
  return { kind: 'vmap', key: [link], map: isolatedSet(direction) };
}

export function rule(...statements: NftStatement[]): NftRule {
  return { statements };
}

export function match(left: NftSelector, right: string | number): Extract<NftStatement, { kind: 'match' }> {
  return { kind: 'match', left, right };
}

function inSet(selector: NftSelector, set: string): NftStatement {
  return { kind: 'lookup', key: [selector], set };
}

export function mark(value: number): NftStatement {
  return { kind: 'set mark', mark: value };
}

function verdict(word: 'accept' | 'drop'): NftStatement {
  return { kind: 'verdict', verdict: word };
}

export function goto(chain: string): NftStatement {
  return { kind: 'verdict', verdict: 'goto', chain };
}
