// Room plan: elements of the node's policy sets; each names the pod, the policy or the rule that caused it.
import { type Family, familyOf, type IP } from '../../addr/ip.ts';
import type { NftElement } from '../../kernel/nft-items.ts';
import type { Allowance } from './allowed.ts';
import { allowedSet, ISOLATED, isolatedSet, type Level, OWN, policyPlace, refusedSet } from './base.ts';
import type { PolicyPod } from './pod.ts';
import { type Direction, ruleText } from './rules.ts';
import { isolating } from './tiers.ts';

/** nft takes no longer comments. */
const COMMENT_LENGTH = 128;

function element(family: Family, set: string, key: NftElement['key'], comment: string, data?: number): NftElement {
  const place = { kind: 'element', ...policyPlace(family), set, key } as const;
  return { ...place, ...(data !== undefined && { data: [data] }), comment: comment.slice(0, COMMENT_LENGTH) };
}

/** An isolated pod's own, in one family. */
export function podElements(
  pod: PolicyPod,
  link: string,
  directions: Iterable<Direction>,
  family: Family,
): NftElement[] {
  const name = `Pod/${pod.key}`;
  const own = pod.ips.filter((ip) => familyOf(ip) === family);
  return [
    element(family, ISOLATED, [link], name),
    ...own.map((ip) => element(family, OWN, [link, ip], name)),
    ...[...directions].flatMap((direction) => {
      const policies = isolating(pod, direction).map(({ id }) => id);
      const comment = `${name} isolated by ${policies.join(', ')}`;
      return [isolatedSet, refusedSet].map((set) => element(family, set(direction), [link], comment));
    }),
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
