// Room plan: traffic of pods that leaves the cluster goes out under the node's address; all other traffic keeps its source.
import type { Family } from '../addr/ip.ts';
import { type CIDR, networkOf, parsePrefix } from '../addr/prefix.ts';
import type { NftChain, NftItem, NftRule, NftSelector, NftStatement } from '../kernel/nft-items.ts';
import type { Node } from '../objects/types.ts';
import type { Fragment } from './plan.ts';
import { familiesOf, type NodeFacts, ofFamily, placeOf, wordsOf } from './proxy-names.ts';

const NODE_ADDRESSES = 'node-addresses';
const LEAVING = 'leaving';
/** After the Services' own chain: the first of both to give a flow its source decides. */
const PRIORITY = 101;

/** Fragment `masquerade/base`. */
export function planMasqueradeBase(facts: NodeFacts): Fragment {
  const items = familiesOf(facts).flatMap((family): NftItem[] => [
    { kind: 'table', ...placeOf(family) },
    { kind: 'set', ...placeOf(family), set: NODE_ADDRESSES, key: [wordsOf(family).address] },
    leavingChain(facts, family),
    hookChain(facts, family),
  ]);
  return { cause: { kind: 'Node', name: facts.nodeName }, items };
}

function hookChain(facts: NodeFacts, family: Family): NftChain {
  const { saddr } = wordsOf(family);
  return {
    kind: 'chain',
    ...placeOf(family),
    chain: 'masquerade',
    base: { type: 'nat', hook: 'postrouting', priority: PRIORITY },
    rules: ofFamily(family, facts.ownPodCIDRs).map((cidr) => ({
      statements: [
        { kind: 'match', left: saddr, right: cidr },
        { kind: 'verdict', verdict: 'jump', chain: LEAVING },
      ],
    })),
  };
}

/** Pods, Services, nodes and whom the cluster's config names see a pod's own address. */
function leavingChain(facts: NodeFacts, family: Family): NftChain {
  const { daddr } = wordsOf(family);
  const seeing = [...facts.podCIDRs, ...facts.serviceCIDRs, ...(facts.nonMasqueradeCIDRs ?? [])];
  const inside = ofFamily(family, seeing).map(
    (cidr): NftRule => ({
      statements: [...matchPrefix(daddr, cidr), { kind: 'verdict', verdict: 'return' }],
    }),
  );
  const toNodes: NftRule = {
    statements: [
      { kind: 'lookup', key: [daddr], set: NODE_ADDRESSES },
      { kind: 'verdict', verdict: 'return' },
    ],
  };
  const rules = [...inside, toNodes, { statements: [{ kind: 'masquerade' }] } satisfies NftRule];
  return { kind: 'chain', ...placeOf(family), chain: LEAVING, rules };
}

/** nft writes a single address without its length, and has no words for every address. */
function matchPrefix(left: NftSelector, cidr: CIDR): NftStatement[] {
  const { ip, length, family } = parsePrefix(networkOf(cidr));
  if (length === 0) return [];
  return [{ kind: 'match', left, right: length === (family === 4 ? 32 : 128) ? ip : networkOf(cidr) }];
}

export function masqueradeFragmentKey(nodeName: string): string {
  return `masquerade/${nodeName}`;
}

/** Fragment `masquerade/<node>`: the node's addresses are inside the cluster. */
export function planNodeAddresses(node: Node, facts: NodeFacts): Fragment {
  const internal = (node.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP');
  const addresses = [...new Set(internal.map(({ address }) => address))];
  const items = familiesOf(facts).flatMap((family) =>
    ofFamily(family, addresses).map(
      (ip): NftItem => ({
        kind: 'element',
        ...placeOf(family),
        set: NODE_ADDRESSES,
        key: [ip],
        comment: `Node/${node.metadata.name}`.slice(0, 128),
      }),
    ),
  );
  return { cause: { kind: 'Node', name: node.metadata.name }, items };
}
