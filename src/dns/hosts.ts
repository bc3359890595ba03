// Room dns: the chain's handler of static hosts: names that the cluster's config answers, before anybody else.
import { formatIP, type IP, parseIP } from '../addr/ip.ts';
import type { Name, RData } from '../wire/dns/message.ts';
import { lowerName } from '../wire/dns/name.ts';
import type { Handler } from './query.ts';
import { parseReverseName } from './reverse-zones.ts';
import { addressData } from './service-names.ts';
import { zoneAnswer } from './zone.ts';

/** Never changes while the server runs. */
const VALIDITY = { dependsOn: 'hosts' };

/** A and AAAA of each name, NODATA for all else at it, and PTR of each address. `soa` is of whoever is in charge of the cluster's zone. */
export function staticHosts(hosts: Readonly<Record<Name, readonly IP[]>>, soa: () => RData): Handler {
  const addresses = new Map<Name, RData[]>();
  const names = new Map<IP, Name[]>();
  for (const [host, ips] of Object.entries(hosts)) {
    const canonical = ips.map((ip) => formatIP(parseIP(ip)!));
    addresses.set(lowerName(host), canonical.map(addressData));
    for (const ip of canonical) names.set(ip, [...(names.get(ip) ?? []), host]);
  }
  return (query) => {
    const data = addresses.get(query.lower) ?? pointers(names, query.lower);
    return data && { ...zoneAnswer(query, { apex: query.lower, soa: soa() }, data), validity: VALIDITY };
  };
}

function pointers(names: ReadonlyMap<IP, readonly Name[]>, lower: Name): RData[] | undefined {
  const reverse = parseReverseName(lower);
  const found = reverse?.full ? names.get(reverse.ip) : undefined;
  return found?.map((target) => ({ type: 'PTR', target }));
}
