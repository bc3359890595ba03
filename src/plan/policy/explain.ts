// Room plan: a verdict in words that a tired human reads: both sides, the rule or its absence, and what to change.
import type { Match, Ruling, Side, Verdict } from './judge.ts';
import { type PolicyRules, ruleText } from './rules.ts';
import { DEFAULT_TIER } from './tiers.ts';

/** One line a side, and one for the whole. */
export function verdictText(verdict: Verdict): string[] {
  const { egress, ingress, allowed } = verdict;
  const last = allowed ? 'allowed' : `denied: ${adviceOf(egress.allowed ? ingress : egress)}`;
  return [`egress   ${sideText(egress)}`, `ingress  ${sideText(ingress)}`, last];
}

const FREE = {
  'no pod': 'not judged: no pod with an address of its own',
  'not isolated': 'allowed: no policy isolates it',
  'nothing decides': 'allowed: no rule of the policies that select it decides',
  itself: 'allowed: a pod reaches itself always',
  'own node': 'allowed: a pod and its own node reach each other always',
} as const;

function sideText(side: Side): string {
  const name = side.pod ? `${side.pod.key} ` : '';
  return `${name}${reasonText(side)}${passedText(side)}${stagedText(side)}`;
}

/** `allowed by NetworkPolicy/shop/web ingress[0] (everybody)`: the same words wherever a side is told of. */
export function reasonText(side: Ruling | Side): string {
  switch (side.because) {
    case 'rule':
      return `${side.allowed ? 'allowed' : 'denied'} by ${matchText(side.matches[0])}${tierText(side.tier)}${othersText(side.matches)}`;
    case 'no rule':
      return `denied: isolated by ${namesOf(side.isolatedBy)}, no rule allows`;
    default:
      return FREE[side.because];
  }
}

function tierText(tier: string): string {
  return tier === DEFAULT_TIER ? '' : `, tier ${tier}`;
}

function passedText({ steps }: Side): string {
  const passed = steps.flatMap(({ rule, does }) => (rule && does === 'pass' ? [ruleText(rule)] : []));
  return passed.length > 0 ? `; passed on by ${passed.join(', ')}` : '';
}

/** Only what would be otherwise. */
function stagedText({ staged, allowed }: Side): string {
  if (!staged || staged.allowed === allowed) return '';
  return `; with what is staged it would be ${reasonText(staged)}`;
}

/** `NetworkPolicy/shop/web ingress[0] (namespace shop pods (app=web))` */
export function matchText({ rule, peer }: Match): string {
  return `${ruleText(rule)} (${peer ? peer.key : 'everybody'})`;
}

function othersText(matches: readonly Match[]): string {
  const first = ruleText(matches[0]!.rule);
  const others = [...new Set(matches.map(({ rule }) => ruleText(rule)))].filter((text) => text !== first);
  return others.length > 0 ? `, also by ${others.join(', ')}` : '';
}

function namesOf(policies: readonly PolicyRules[]): string {
  return policies.map(({ id }) => id).join(', ');
}

function adviceOf(side: Side): string {
  if (side.because === 'rule') return `${side.matches[0].rule.policy.id} would have to change`;
  if (side.because !== 'no rule') return '';
  const words = side.direction === 'egress' ? 'an egress rule to the peer' : 'an ingress rule from the peer';
  return `${words} and port, in a policy that selects ${side.pod!.key}, would allow it`;
}
