// Room plan: a verdict in words that a tired human reads: both sides, the rule or its absence, and what to change.
import type { Match, Side, Verdict } from './judge.ts';
import { type PolicyRules, ruleText } from './rules.ts';

/** One line a side, and one for the whole. */
export function verdictText(verdict: Verdict): string[] {
  const { egress, ingress, allowed } = verdict;
  const last = allowed ? 'allowed' : `denied: ${adviceOf(egress.allowed ? ingress : egress)}`;
  return [`egress   ${sideText(egress)}`, `ingress  ${sideText(ingress)}`, last];
}

const FREE = {
  'no pod': 'not judged: no pod with an address of its own',
  'not isolated': 'allowed: no policy isolates it',
  itself: 'allowed: a pod reaches itself always',
  'own node': 'allowed: a pod and its own node reach each other always',
} as const;

function sideText(side: Side): string {
  const name = side.pod ? `${side.pod.key} ` : '';
  if (side.because === 'rule') return `${name}allowed by ${matchText(side.matches[0]!)}${othersText(side.matches)}`;
  if (side.because === 'no rule') return `${name}denied: isolated by ${namesOf(side.isolatedBy)}, no rule allows`;
  return `${name}${FREE[side.because]}`;
}

function matchText({ rule, peer }: Match): string {
  return `${ruleText(rule)} (${peer ? peer.key : 'everybody'})`;
}

function othersText(matches: readonly Match[]): string {
  const first = ruleText(matches[0]!.rule);
  const others = [...new Set(matches.map(({ rule }) => ruleText(rule)))].filter((text) => text !== first);
  return others.length > 0 ? `, also by ${others.join(', ')}` : '';
}

function namesOf(policies: readonly PolicyRules[]): string {
  return policies.map(({ key }) => `NetworkPolicy/${key}`).join(', ');
}

function adviceOf(side: Side): string {
  if (side.because !== 'no rule') return '';
  const words = side.direction === 'egress' ? 'an egress rule to the peer' : 'an ingress rule from the peer';
  return `${words} and port, in a policy that selects ${side.pod!.key}, would allow it`;
}
