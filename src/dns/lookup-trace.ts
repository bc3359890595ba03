// Room dns: what a lookup of a name costs: every query that a pod's resolver makes for it, one after the other.
import { type Message, type Name, RCODE, rcodeName, TYPE } from '../wire/dns/message.ts';
import { recordText } from '../wire/dns/text.ts';
import { candidates, type ResolvConf } from './resolv-conf.ts';

export type TracedType = 'A' | 'AAAA';

export interface TracedQuery {
  readonly name: Name;
  readonly type: TracedType;
  readonly server: string;
  /** `NOERROR`, `NXDOMAIN` …; `TIMEOUT` when the server did not answer. */
  readonly answer: string;
  /** As lines of a zone file. */
  readonly records: readonly string[];
  readonly milliseconds: number;
}

export interface LookupTrace {
  readonly queries: readonly TracedQuery[];
  /** The name under which there are addresses, with its final dot; absent: nowhere. */
  readonly found?: Name;
  readonly addresses: readonly string[];
  readonly milliseconds: number;
  /** What costs one query for each type: absent when this was asked, or nothing was found. */
  readonly better?: Name;
}

/** Rejects when the server does not answer. */
export type Ask = (server: string, name: Name, type: number, milliseconds: number) => Promise<Message>;

/**
 * As the C library's getaddrinfo does it: for each name A and AAAA, until one of them has addresses. What a server refuses or
 * cannot say is asked of the next; a name of which nobody can speak does not end the walk.
 */
export async function traceLookup(
  name: string,
  conf: ResolvConf,
  types: readonly TracedType[],
  ask: Ask,
): Promise<LookupTrace> {
  const queries: TracedQuery[] = [];
  for (const candidate of candidates(name, conf)) {
    const found = await Promise.all(types.map((type) => askServers(candidate, type, conf, ask)));
    queries.push(...found.flat());
    const addresses = found.flatMap((tried) => addressesOf(tried.at(-1)));
    if (addresses.length === 0) continue;
    const full = `${candidate}.`;
    const better = queries.length > types.length ? full : undefined;
    return { queries, found: full, addresses, milliseconds: total(queries), ...(better && { better }) };
  }
  return { queries, addresses: [], milliseconds: total(queries) };
}

async function askServers(name: Name, type: TracedType, conf: ResolvConf, ask: Ask): Promise<TracedQuery[]> {
  const tried: TracedQuery[] = [];
  for (let attempt = 0; attempt < conf.attempts; attempt++) {
    for (const server of conf.nameservers) {
      const began = performance.now();
      const message = await ask(server, name, TYPE[type], conf.timeout * 1000).catch(() => undefined);
      const milliseconds = Math.round((performance.now() - began) * 1000) / 1000;
      const answer = message ? rcodeName(message.rcode) : 'TIMEOUT';
      tried.push({
        name: `${name}.`,
        type,
        server,
        answer,
        records: message?.answers.map(recordText) ?? [],
        milliseconds,
      });
      if (message?.rcode === RCODE.NOERROR || message?.rcode === RCODE.NXDOMAIN) return tried;
    }
  }
  return tried;
}

function addressesOf(query: TracedQuery | undefined): string[] {
  const pattern = new RegExp(` IN ${query?.type} (\\S+)$`);
  return (query?.records ?? []).flatMap((line) => pattern.exec(line)?.[1] ?? []);
}

/** Both types are asked for at once: the slower one is waited for. */
function total(queries: readonly TracedQuery[]): number {
  const slowest = new Map<Name, Map<TracedType, number>>();
  for (const { name, type, milliseconds } of queries) {
    const types = slowest.get(name) ?? new Map<TracedType, number>();
    slowest.set(name, types.set(type, (types.get(type) ?? 0) + milliseconds));
  }
  const sum = [...slowest.values()].reduce((all, types) => all + Math.max(...types.values()), 0);
  return Math.round(sum * 1000) / 1000;
}
