// Room dns: follows an ExternalName to where it leads, as stub resolvers do not do it themselves.
import { RCODE, type ResourceRecord } from '../wire/dns/message.ts';
import { lowerName } from '../wire/dns/name.ts';
import { type Answer, failed, type Handler, onlyNow, type Query } from './query.ts';

/** As many as common resolvers follow. */
const MAX_ALIASES = 8;

/** Wraps the chain: an answer that ends in an alias is continued with what the chain says of the alias (RFC 1034 section 3.6.2). */
export function chasing(chain: Handler): Handler {
  return (query) => {
    const answer = chain(query);
    if (!answer || answer instanceof Promise || answer.alias === undefined || !query.recursionDesired) return answer;
    return follow(chain, query, answer);
  };
}

async function follow(chain: Handler, query: Query, first: Answer): Promise<Answer> {
  const answers: ResourceRecord[] = [...first.answers];
  const seen = new Set([query.lower]);
  let answer = first;
  while (answer.alias !== undefined) {
    const lower = lowerName(answer.alias);
    // RFC 6604 section 3: the code is that of the last name; a loop has none.
    if (seen.has(lower) || seen.size > MAX_ALIASES) return { ...failed(RCODE.SERVFAIL), authoritative: true, answers };
    seen.add(lower);
    answer = (await chain({ ...query, name: answer.alias, lower })) ?? failed(RCODE.REFUSED);
    answers.push(...answer.answers);
  }
  // What it was made of is more than one thing.
  return { ...onlyNow(answer), authoritative: true, authenticData: false, answers };
}
