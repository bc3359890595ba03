// Room dns: the data at a name to an authoritative answer: data, an alias, NODATA or NXDOMAIN (RFC 1034 section 4.3.2, RFC 2308).
import { CLASS, type Name, RCODE, type RData, type ResourceRecord, TYPE, typeCode } from '../wire/dns/message.ts';
import type { Answer, Query } from './query.ts';

/** Seconds for which an answer may be kept unless the config says otherwise, also that a name is not there: CoreDNS's own. */
export const TTL = 5;

/** RFC 8482: who asks for everything is given one small record. */
const ANY_DATA: RData = { type: 'other', code: TYPE.HINFO, data: Buffer.from('\x07RFC8482\x00', 'latin1') };

export interface Zone {
  readonly apex: Name;
  readonly soa: RData;
  /** Seconds; TTL when absent. */
  readonly ttl?: number;
  /** Data at another name of ours, to be sent along with SRV. */
  readonly find?: (target: Name) => readonly RData[] | undefined;
}

/** `data` is all there is at the query's name; undefined when there is no such name. */
export function zoneAnswer(query: Query, zone: Zone, data: readonly RData[] | undefined): Answer {
  if (!data) return negative(zone, RCODE.NXDOMAIN);
  if (data.length === 0) return negative(zone, RCODE.NOERROR);
  if (query.type === TYPE.ANY) return positive([own(query, ANY_DATA, zone)]);
  const alias = data.find((one) => one.type === 'CNAME');
  if (alias?.type === 'CNAME') {
    const answer = positive([own(query, alias, zone)]);
    return query.type === TYPE.CNAME ? answer : { ...answer, alias: alias.target };
  }
  const matching = data.filter((one) => typeCode(one) === query.type);
  if (matching.length === 0) return negative(zone, RCODE.NOERROR);
  const answers = rotated(matching).map((one) => own(query, one, zone));
  return positive(answers, query.type === TYPE.SRV ? addressesOf(matching, zone) : []);
}

function own(query: Query, data: RData, { ttl = TTL }: Zone): ResourceRecord {
  return { name: query.name, class: CLASS.IN, ttl, ...data };
}

function positive(answers: readonly ResourceRecord[], additionals: readonly ResourceRecord[] = []): Answer {
  return { rcode: RCODE.NOERROR, authoritative: true, answers, authorities: [], additionals };
}

function negative(zone: Zone, rcode: number): Answer {
  const soa: ResourceRecord = { name: zone.apex, class: CLASS.IN, ttl: zone.ttl ?? TTL, ...zone.soa };
  return { rcode, authoritative: true, answers: [], authorities: [soa], additionals: [] };
}

/** Many clients take the first address only: each answer starts with another. */
function rotated<T>(list: readonly T[]): readonly T[] {
  if (list.length < 2) return list;
  const start = Math.floor(Math.random() * list.length);
  return [...list.slice(start), ...list.slice(0, start)];
}

function addressesOf(data: readonly RData[], zone: Zone): ResourceRecord[] {
  const targets = new Set(data.flatMap((one) => (one.type === 'SRV' ? one.target : [])));
  return [...targets].flatMap((target) =>
    (zone.find?.(target) ?? [])
      .filter((one) => one.type === 'A' || one.type === 'AAAA')
      .map((one) => ({ name: target, class: CLASS.IN, ttl: zone.ttl ?? TTL, ...one })),
  );
}
