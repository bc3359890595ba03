// Room dns: the chain's handler of stub domains: parts of the world that have resolvers of their own.
import { isWithin } from '../wire/dns/name.ts';
import type { Handler } from './query.ts';

/** The longest domain around a name has it. Domains are in lower case. */
export function stubDomains(forwarders: ReadonlyMap<string, Handler>): Handler {
  const longestFirst = [...forwarders].sort(([a], [b]) => b.length - a.length);
  return (query) => longestFirst.find(([domain]) => isWithin(query.lower, domain))?.[1](query);
}
