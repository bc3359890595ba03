// Room plan: the one walk through all tiers that decides: for the judge, for the kernel's rules and for the matrix.
import type { Rule } from './rules.ts';
import type { Stage, Tier } from './tiers.ts';

/** What decides; `end` is the end of a tier that lets nothing through, `none` that no policy decides, which allows. */
export type Decision<M, S extends Stage = Stage> =
  | { readonly kind: 'rule'; readonly allowed: boolean; readonly tier: Tier; readonly rule: Rule; readonly match: M }
  | { readonly kind: 'end'; readonly allowed: false; readonly stage: S }
  | { readonly kind: 'none'; readonly allowed: true };

/** What the walk meets before it ends: a rule that applies, or the end of a tier that has no more to say. */
export type Step =
  | { readonly tier: Tier; readonly rule: Rule; readonly does: 'allow' | 'deny' | 'pass' | 'log' }
  | { readonly tier: Tier; readonly rule: undefined; readonly does: 'end deny' | 'end pass' };

/** `applies` gives what of the rule the packet meets; `meet` is told each step. */
export function walk<M, S extends Stage>(
  stages: readonly S[],
  applies: (rule: Rule) => M | undefined,
  rulesOf: (stage: S) => Iterable<Rule>,
  meet?: (step: Step) => void,
): Decision<M, S> {
  for (const stage of stages) {
    const decision = walkTier(stage, applies, rulesOf, meet);
    if (decision) return decision;
  }
  return { kind: 'none', allowed: true };
}

function walkTier<M, S extends Stage>(
  stage: S,
  applies: (rule: Rule) => M | undefined,
  rulesOf: (stage: S) => Iterable<Rule>,
  meet: ((step: Step) => void) | undefined,
): Decision<M, S> | undefined {
  const { tier } = stage;
  for (const rule of rulesOf(stage)) {
    const match = applies(rule);
    if (match === undefined) continue;
    meet?.({ tier, rule, does: rule.action });
    if (rule.action === 'pass') return undefined;
    if (rule.action !== 'log') return { kind: 'rule', allowed: rule.action === 'allow', tier, rule, match };
  }
  meet?.({ tier, rule: undefined, does: tier.end === 'deny' ? 'end deny' : 'end pass' });
  return tier.end === 'deny' ? { kind: 'end', allowed: false, stage } : undefined;
}
