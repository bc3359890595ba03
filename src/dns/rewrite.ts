// Room dns: names that are asked for in place of others, by config; the answer speaks of the name that was asked.
import type { Name } from '../wire/dns/message.ts';
import { isWithin, lowerName, relativeTo } from '../wire/dns/name.ts';
import type { Resolver } from './chain.ts';
import type { Answer, Query } from './query.ts';
import type { ServerSettings } from './settings.ts';

const WILDCARD = '*.';

/** Once: what a rewrite leads to is not rewritten again. */
export function rewriting(rules: ServerSettings['rewrites'], resolve: Resolver): Resolver {
  const lowered = Object.entries(rules).map(([from, to]) => [lowerName(from), to] as const);
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

function rewritten(rules: readonly (readonly [from: Name, to: Name])[], { name, lower }: Query): Name | undefined {
  for (const [from, to] of rules) {
    if (from === lower) return to;
    const suffix = from.startsWith(WILDCARD) ? from.slice(WILDCARD.length) : undefined;
    if (suffix === undefined || suffix === lower || !isWithin(lower, suffix)) continue;
    return to.startsWith(WILDCARD) ? `${relativeTo(name, suffix)}.${to.slice(WILDCARD.length)}` : to;
  }
  return undefined;
}

function renamed(answer: Answer, lower: Name, name: Name): Answer {
  const answers = answer.answers.map((record) => (lowerName(record.name) === lower ? { ...record, name } : record));
  return { ...answer, answers };
}
