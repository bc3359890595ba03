// Room plan: elements of the node's policy sets; each names the pod, the policy or the rule that caused it.
import { type Family, familyOf, type IP } from '../../addr/ip.ts';
import type { NftElement } from '../../kernel/nft-items.ts';
import type { Allowance } from './allowed.ts';
import { allowedSet, ISOLATED, isolatedSet, type Level, OWN, policyPlace, refusedSet } from './base.ts';
import type { Interval } from './decisions.ts';
import type { PolicyPod } from './pod.ts';
import { type Direction, ruleText } from './rules.ts';
import { rulingMark, TIER_BLOCKS, TIER_PEERS, tierMap } from './tier-base.ts';

/** nft takes no longer comments, and none with the quotes that it puts around them. */
const COMMENT_LENGTH = 128;

function element(
  family: Family,
  set: string,
  key: NftElement['key'],
  comment: string,
  data?: number | NftElement['data'],
): NftElement {
  const place = { kind: 'element', ...policyPlace(family), set, key } as const;
  const held = data !== undefined && { data: typeof data === 'number' ? [data] : data };
  return { ...place, ...held, comment: comment.replaceAll('"', "'").slice(0, COMMENT_LENGTH) };
}

/** Which chain judges the pod, by direction, and who it is that has it judged. */
export type JudgedBy = ReadonlyMap<Direction, { readonly chain: string; readonly comment: string }>;

/** A judged pod's own, in one family. `isSelected`: a policy in force selects it. */
export function podElements(
  pod: PolicyPod,
  link: string,
  judgedBy: JudgedBy,
  isSelected: boolean,
  family: Family,
): NftElement[] {
  const name = `Pod/${pod.key}`;
  const own = pod.ips.filter((ip) => familyOf(ip) === family);
  return [
    ...(isSelected ? [element(family, ISOLATED, [link], name)] : []),
    ...own.map((ip) => element(family, OWN, [link, ip], name)),
    ...[...judgedBy].flatMap(([direction, { chain, comment }]) => [
      element(family, isolatedSet(direction), [link], comment, { verdict: 'goto', chain }),
      element(family, refusedSet(direction), [link], comment),
    ]),
  ];
}

/** The class of an address, or of an interval of them that begins with it. */
export function classElement(level: Level, ip: IP, key: string, id: number, comment: string): NftElement {
  return element(familyOf(ip), level, [key], comment, id);
}

export function allowedElement(
  family: Family,
  direction: Direction,
  link: string,
  id: number,
  { form, ports, rule }: Allowance,
): NftElement {
  return element(family, allowedSet(direction, form), [link, id, ...ports], ruleText(rule));
}

export function tierPeerElement(ip: IP, id: number, comment: string): NftElement {
  return element(familyOf(ip), TIER_PEERS, [ip], comment, id);
}

export function tierBlockElement(family: Family, key: string, id: number, comment: string): NftElement {
  return element(family, TIER_BLOCKS, [key], comment, id);
}

export function tierElement(
  family: Family,
  direction: Direction,
  link: string,
  id: number,
  { form, ports, ruling, says }: Interval,
): NftElement {
  return element(family, tierMap(direction, form), [link, id, ...ports], says, rulingMark(ruling));
}
