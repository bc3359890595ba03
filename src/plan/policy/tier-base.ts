// Room plan: the sets and chains by which a node judges pods that policies of several tiers select: one look-up for who, at most eight for what.
import type { Family } from '../../addr/ip.ts';
import type { NftChain, NftItem, NftRule, NftSelector, NftSet } from '../../kernel/nft-items.ts';
import type { Fragment } from '../plan.ts';
import { wordsOf } from '../proxy-names.ts';
import {
  ANYBODY,
  FORMS,
  type Form,
  goto,
  logRules,
  mark,
  match,
  type NodePolicyFacts,
  onwardChain,
  policyPlace,
  refusedChain,
  rule,
  tiersChain,
} from './base.ts';
import { DIRECTIONS, type Direction } from './rules.ts';

/** Who a peer is: pods by their addresses, all else by blocks; each a map to the mark of its class. */
export const TIER_PEERS = 'tier-peers';
export const TIER_BLOCKS = 'tier-blocks';
export const tierMap = (direction: Direction, form: Form) => `${direction}-tier-${form}`;

/** What a walk through the tiers comes to, as a mark: the chain that it leads to. */
export const RULINGS = ['allow', 'allow-log', 'would-deny', 'refused'] as const;
export type RulingChain = (typeof RULINGS)[number];
export const rulingMark = (ruling: RulingChain) => 1 + RULINGS.indexOf(ruling);

/** From the narrowest ports to the widest: the first that is found decides. */
const ASKED: readonly Form[] = ['ports', 'ranges', 'protocols', 'any'];
const KEYS: Readonly<Record<Form, NftSet['key']>> = {
  any: ['ifname', 'mark'],
  protocols: ['ifname', 'mark', 'inet_proto'],
  ports: ['ifname', 'mark', 'inet_proto', 'inet_service'],
  ranges: ['ifname', 'mark', 'inet_proto', 'inet_service'],
};

/** Fragment `policy/tier-base`: beside that of policy/base, where some pod of the node needs it. */
export function planTierBase(facts: NodePolicyFacts): Fragment {
  const items = facts.families.flatMap((family): NftItem[] => [
    ...tierSets(family),
    ...DIRECTIONS.flatMap((direction) => tierChains(facts, family, direction)),
  ]);
  return { cause: { kind: 'Node', name: facts.nodeName }, items };
}

function tierSets(family: Family): NftSet[] {
  const place = { kind: 'set', ...policyPlace(family), data: ['mark'] } as const;
  const { address } = wordsOf(family);
  const interval = { flags: ['interval'] } as const;
  return [
    { ...place, set: TIER_PEERS, key: [address] },
    { ...place, set: TIER_BLOCKS, key: [address], ...interval },
    ...DIRECTIONS.flatMap((direction) =>
      FORMS.map((form): NftSet => {
        const ranges = form === 'ranges' && interval;
        return { ...place, set: tierMap(direction, form), key: KEYS[form], counter: true, ...ranges };
      }),
    ),
  ];
}

function tierChains({ logGroup }: NodePolicyFacts, family: Family, direction: Direction): NftChain[] {
  const { saddr, daddr } = wordsOf(family);
  const [link, peer] = direction === 'egress' ? (['iifname', daddr] as const) : (['oifname', saddr] as const);
  const [known, decide, end] = ['known', 'decide', 'end'].map((part) => `${direction}-tier-${part}`) as [
    string,
    string,
    string,
  ];
  const class_ = (map: string): NftRule => rule({ kind: 'set mark', key: [peer], map }, goto(known));
  const chain = (name: string, rules: readonly NftRule[]): NftChain => {
    return { kind: 'chain', ...policyPlace(family), chain: name, rules };
  };
  const onward = goto(onwardChain(direction));
  return [
    chain(tiersChain(direction), [class_(TIER_PEERS), class_(TIER_BLOCKS), rule(mark(ANYBODY), goto(known))]),
    chain(known, [
      rule({ kind: 'verdict', verdict: 'jump', chain: decide }),
      // Of the class nothing is said for this pod: it is anybody.
      rule(mark(ANYBODY)),
      rule({ kind: 'verdict', verdict: 'jump', chain: decide }),
      rule(goto(refusedChain(direction))),
    ]),
    chain(
      decide,
      ASKED.map((form) => {
        const ordered = form === 'ranges' && { ordered: true as const };
        return rule({ kind: 'set mark', key: keyOf(form, link), map: tierMap(direction, form), ...ordered }, goto(end));
      }),
    ),
    chain(end, [
      rule(match('meta mark', rulingMark('allow')), onward),
      rule(match('meta mark', rulingMark('refused')), goto(refusedChain(direction))),
      rule(match('meta mark', rulingMark('would-deny')), goto(`${direction}-would-deny`)),
      ...logRules(logGroup, 'allowed', direction),
      rule(onward),
    ]),
    chain(`${direction}-would-deny`, [...logRules(logGroup, 'would-deny', direction), rule(onward)]),
  ];
}

function keyOf(form: Form, link: NftSelector): NftSelector[] {
  const key: NftSelector[] = [link, 'meta mark', 'meta l4proto', 'th dport'];
  return key.slice(0, KEYS[form].length);
}
