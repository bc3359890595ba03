// Room plan: the chains that choose an endpoint, shared by all Services that have as many of them and treat clients alike.
import type { Family } from '../addr/ip.ts';
import type { NftChain, NftStatement } from '../kernel/nft-items.ts';
import type { Fragment } from './plan.ts';
import {
  AFFINITY,
  DROP,
  ENDPOINTS,
  ENDPOINTS_OUTSIDE,
  familiesOf,
  type NodeFacts,
  PICKS,
  placeOf,
  REFUSE,
  SOURCES,
  wordsOf,
} from './proxy-names.ts';

/** A chain for each number of endpoints up to this is there from the start: a chain that comes late costs 25 ms at 10,000 Services. */
export const CHAINS_AHEAD = 16;
/** Where the indexes of the endpoints begin that traffic from outside is sent to, where those are others than for all. */
export const OUTSIDE = 0x10000;

/** So many chains come at once when there must be more. */
const BLOCK = 64;

export interface Choice {
  readonly count: number;
  /** Among the endpoints for traffic from outside. */
  readonly outside: boolean;
  readonly affinitySeconds: number | undefined;
  /** Only for those whose address the set SOURCES has. */
  readonly guarded: boolean;
}

/** The chain for such a choice, and all that must be there for it. */
export function choiceChains(family: Family, choice: Choice): { readonly chain: string; readonly chains: NftChain[] } {
  const { count, outside, affinitySeconds, guarded } = choice;
  const chains: NftChain[] = [];
  let chain = outside ? `outside${count}` : `n${count}`;
  if (count === 0) chain = REFUSE;
  else if (outside)
    chains.push(balanceChain(family, 1, true), ...(count > 1 ? [balanceChain(family, count, true)] : []));
  else if (count > CHAINS_AHEAD) chains.push(balanceChain(family, count));
  if (affinitySeconds !== undefined && count > 0) {
    const sticky = stickyChain(family, affinitySeconds, outside);
    const wrapped = affinityChain(family, chain, choice, affinitySeconds);
    chains.push(sticky, wrapped);
    chain = wrapped.chain;
  }
  if (guarded) {
    const wrapped = guardChain(family, chain);
    chains.push(wrapped);
    chain = wrapped.chain;
  }
  return { chain, chains };
}

/** How many endpoints the Service of a plan has at most, where that is more than there are chains for from the start; else 0. */
export function uncommonCount({ items }: Fragment): number {
  let most = 0;
  for (const item of items) {
    if (item.kind !== 'chain' || !/^n\d+$/.test(item.chain)) continue;
    most = Math.max(most, Number(item.chain.slice(1)));
  }
  return most;
}

/**
 * Fragment `proxy/chains`: the chains of all numbers up to `most` and some beyond. Where one Service is so large, it grows and shrinks by
 * one endpoint at a time, and each of its numbers would be a chain that comes late.
 */
export function planChains(facts: NodeFacts, most: number): Fragment {
  const limit = BLOCK * Math.ceil((most + 1) / BLOCK);
  const counts = Array.from({ length: limit - CHAINS_AHEAD }, (_, i) => CHAINS_AHEAD + 1 + i);
  const items = familiesOf(facts).flatMap((family) => counts.map((count) => balanceChain(family, count)));
  return { cause: { kind: 'Node', name: facts.nodeName }, items };
}

function frontendKey(family: Family) {
  return [wordsOf(family).daddr, 'meta l4proto', 'th dport'] as const;
}

/**
 * Chain n<count>: one of so many endpoints at random. All Services with as many endpoints share it.
 *
 * A packet's lookups are not of one moment: when endpoints become fewer between the lookup of the count and that of the endpoint, there
 * is none at the index. Passed on untranslated, the flow would be tracked so and time out; so the first endpoint takes it,
 * and where there is not even that one, it is refused.
 */
export function balanceChain(family: Family, count: number, outside = false): NftChain {
  const key = [...frontendKey(family), pick(count, outside)];
  // A single one: for each element that is added, the kernel goes over all rules that look the map up.
  const translate: NftStatement = { kind: 'dnat', key, map: ENDPOINTS };
  const name = outside ? 'outside' : 'n';
  const missed: NftStatement = { kind: 'verdict', verdict: 'goto', chain: count === 1 ? REFUSE : `${name}1` };
  return {
    kind: 'chain',
    ...placeOf(family),
    chain: `${name}${count}`,
    rules: [{ statements: [translate] }, { statements: [missed] }],
  };
}

function pick(mod: number, outside: boolean) {
  return { compute: 'random', mod, ...(outside && { offset: OUTSIDE }) } as const;
}

/** Whom we know comes to where it was, and is remembered anew; where that is no endpoint for it any more, the packet comes back. */
function stickyChain(family: Family, timeout: number, outside: boolean): NftChain {
  const key = clientKey(family);
  const statements: NftStatement[] = [
    { kind: 'set ct mark', key, map: AFFINITY },
    { kind: 'update', set: AFFINITY, key, data: 'ct mark', timeout },
    { kind: 'dnat', key: [...frontendKey(family), 'ct mark'], map: outside ? ENDPOINTS_OUTSIDE : ENDPOINTS },
  ];
  return { kind: 'chain', ...placeOf(family), chain: stickyName(timeout, outside), rules: [{ statements }] };
}

function stickyName(timeout: number, outside: boolean): string {
  return outside ? `sticky-outside-${timeout}` : `sticky-${timeout}`;
}

/** Else it gets an endpoint by chance, and then comes to that. */
function affinityChain(family: Family, balance: string, { count, outside }: Choice, timeout: number): NftChain {
  const key = clientKey(family);
  const known: NftStatement = { kind: 'verdict', verdict: 'jump', chain: stickyName(timeout, outside) };
  const rules: NftStatement[][] = [
    [known],
    [{ kind: 'delete', set: AFFINITY, key, data: 'ct mark' }],
    [
      { kind: 'set ct mark', key: [...frontendKey(family), pick(count, outside)], map: PICKS },
      { kind: 'update', set: AFFINITY, key, data: 'ct mark', timeout },
    ],
    [known],
    // The map of clients may be full: better without affinity than not at all.
    [{ kind: 'verdict', verdict: 'goto', chain: balance }],
  ];
  const chain = `${balance}-sticky-${timeout}`;
  return { kind: 'chain', ...placeOf(family), chain, rules: rules.map((statements) => ({ statements })) };
}

function clientKey(family: Family) {
  return [wordsOf(family).saddr, ...frontendKey(family)] as const;
}

function guardChain(family: Family, chain: string): NftChain {
  const allowed: NftStatement = {
    kind: 'lookup',
    key: [...frontendKey(family), wordsOf(family).saddr],
    set: SOURCES,
  };
  return {
    kind: 'chain',
    ...placeOf(family),
    chain: `sources-${chain}`,
    rules: [
      { statements: [allowed, { kind: 'verdict', verdict: 'goto', chain }] },
      { statements: [{ kind: 'verdict', verdict: 'goto', chain: DROP }] },
    ],
  };
}
