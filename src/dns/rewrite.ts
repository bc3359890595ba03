// Room dns: names that are asked for in place of others, by config; the answer speaks of the name that was asked.
import type { Name } from '../wire/dns/message.ts';
import { isWithin, lowerName, relativeTo } from '../wire/dns/name.ts';
import type { Resolver } from './chain.ts';
import type { Answer, Query } from './query.ts';
import type { Rewrite } from './settings.ts';

/** Once: what a rewrite leads to is not rewritten again. */
export function rewriting(rules: readonly Rewrite[], resolve: Resolver): Resolver {
  const lowered = rules.map((rule) =>
    'name' in rule ? { ...rule, name: lowerName(rule.name) } : { ...rule, suffix: lowerName(rule.suffix) },
  );
  if (lowered.length === 0) return resolve;
  return (query) => {
    const name = rewritten(lowered, query);
    if (name === undefined) return resolve(query);
    const lower = lowerName(name);
    const answer = resolve({ ...query, name, lower });
    if (answer instanceof Promise) return answer.then((later) => renamed(later, lower, query.name));
    return renamed(answer, lower, query.name);
  };
}

function rewritten(rules: readonly Rewrite[], { name, lower }: Query): Name | undefined {
  for (const rule of rules) {
    if ('name' in rule && rule.name === lower) return rule.to;
    if (!('suffix' in rule) || !isWithin(lower, rule.suffix)) continue;
    const left = relativeTo(name, rule.suffix);
    return left === '' ? rule.to : `${left}.${rule.to}`;
  }
  return undefined;
}

function renamed(answer: Answer, lower: Name, name: Name): Answer {
  const answers = answer.answers.map((record) => (lowerName(record.name) === lower ? { ...record, name } : record));
  return { ...answer, answers };
}
