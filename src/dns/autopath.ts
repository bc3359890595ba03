// Room dns: walks a pod's search list for it, so that a name outside the cluster costs it one question instead of four.
import { CLASS, type Name, RCODE, type ResourceRecord } from '../wire/dns/message.ts';
import { isWithin, lowerName, relativeTo } from '../wire/dns/name.ts';
import type { Resolver } from './chain.ts';
import { type Answer, onlyNow, type Query } from './query.ts';
import { TTL } from './zone.ts';

/** The search list of whoever has the address: of a pod of this node; undefined for others. */
export type SearchesOf = (ip: string) => readonly Name[] | undefined;

/**
 * A name in the first domain of its asker's search list that is not there is looked for in the others and as it stands. Where
 * it is found the answer is an alias that leads there; else it is what it was.
 */
export function autopath(searchesOf: SearchesOf, resolve: Resolver, onFound: () => void = () => {}): Resolver {
  return async (query) => {
    const answer = await resolve(query);
    const searches = query.client && searchesOf(query.client.ip)?.map(lowerName);
    const first = searches?.[0];
    // Another asker may have another list.
    if (answer.rcode !== RCODE.NXDOMAIN) return answer;
    if (!first || query.lower === first || !isWithin(query.lower, first)) return onlyNow(answer);
    const found = await walk(query, relativeTo(query.name, first), searches.slice(1), resolve);
    if (found) onFound();
    return found ?? onlyNow(answer);
  };
}

async function walk(
  query: Query,
  base: Name,
  searches: readonly Name[],
  resolve: Resolver,
): Promise<Answer | undefined> {
  for (const name of [...searches.map((domain) => `${base}.${domain}`), base]) {
    const found = await resolve({ ...query, name, lower: lowerName(name) });
    if (found.rcode !== RCODE.NOERROR) continue;
    const ttl = Math.min(TTL, ...found.answers.map((record) => record.ttl));
    const alias: ResourceRecord = { name: query.name, class: CLASS.IN, ttl, type: 'CNAME', target: name };
    return { ...onlyNow(found), authoritative: false, plugin: 'autopath', answers: [alias, ...found.answers] };
  }
  return undefined;
}
