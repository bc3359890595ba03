// Room dns: the chain's handler of addresses: names of Services and endpoints, and no names for what else is in our ranges.
import { formatIP, type IP } from '../addr/ip.ts';
import { type CIDR, type Prefix, parsePrefix, prefixContains } from '../addr/prefix.ts';
import type { RData } from '../wire/dns/message.ts';
import type { Handler } from './query.ts';
import type { ClusterRecords } from './records.ts';
import { zoneAnswer } from './zone.ts';

const ROOTS = [
  { suffix: 'in-addr.arpa', bytes: 4, perLabel: 8, label: /^(0|[1-9]\d{0,2})$/, radix: 10 },
  { suffix: 'ip6.arpa', bytes: 16, perLabel: 4, label: /^[0-9a-f]$/, radix: 16 },
] as const;

/** What a name under in-addr.arpa or ip6.arpa stands for: the leading bits of an address. */
interface ReverseName {
  /** The address with the bits that the name leaves open at zero. */
  readonly ip: IP;
  readonly perLabel: number;
  readonly full: boolean;
  /** There are labels left of those, which stand for no address: `_dns-sd`. */
  readonly beyond: boolean;
  /** Labels of the address, left of the root. */
  readonly labels: readonly string[];
  readonly suffix: string;
}

/** Undefined for every other name. `lower` is in lower case. */
export function parseReverseName(lower: string): ReverseName | undefined {
  const root = ROOTS.find(({ suffix }) => lower.endsWith(`.${suffix}`));
  if (!root) return undefined;
  const all = lower.slice(0, -root.suffix.length - 1).split('.');
  const bytes = new Uint8Array(root.bytes);
  let count = 0;
  for (const label of all.toReversed()) {
    const value = Number.parseInt(label, root.radix);
    if (!root.label.test(label) || value > 255 || count * root.perLabel === root.bytes * 8) break;
    if (root.perLabel === 8) bytes[count] = value;
    else bytes[count >> 1]! |= count % 2 === 0 ? value << 4 : value;
    count++;
  }
  const labels = all.slice(all.length - count);
  const { suffix, perLabel } = root;
  const beyond = all.length > count;
  const full = !beyond && count * perLabel === root.bytes * 8;
  return { ip: formatIP(bytes), perLabel, full, beyond, labels, suffix };
}

/**
 * PTR for Services and endpoints of headless Services. Within the given ranges an address without a name does not
 * exist; outside them only the addresses that have a name here are answered, and the rest goes on.
 */
export function reverseZones(records: ClusterRecords, cidrs: readonly CIDR[]): Handler {
  const prefixes = cidrs.map(parsePrefix);
  return (query) => {
    const name = parseReverseName(query.lower);
    if (!name) return undefined;
    const names = name.full ? records.namesOf(name.ip) : [];
    const apexLabels = zoneLabels(name, prefixes);
    if (apexLabels === undefined && names.length === 0) return undefined;
    const apex = [...name.labels.slice(-(apexLabels ?? name.labels.length)), name.suffix].join('.');
    const [soa, ns] = records.apex();
    const data: RData[] = names.map((target) => ({ type: 'PTR', target }));
    if (name.labels.length === apexLabels && !name.beyond) data.push(soa, ns);
    // Above full length every name within the zone has names below it, or may have at any moment.
    const exists = data.length > 0 || !(name.full || name.beyond);
    const answer = zoneAnswer(query, { apex, soa, ttl: records.ttl }, exists ? data : undefined);
    return name.full ? { ...answer, validity: { dependsOn: records.dependencyOfIP(name.ip) } } : answer;
  };
}

/**
 * How many labels the zone of the range around a name has: the range's length, rounded up to whole labels (10.96.0.0/12
 * is sixteen zones, 96.10.in-addr.arpa and on). Undefined when the name is in none, or above the zone.
 */
function zoneLabels(name: ReverseName, prefixes: readonly Prefix[]): number | undefined {
  for (const prefix of prefixes) {
    const labels = Math.max(1, Math.ceil(prefix.length / name.perLabel));
    if (labels <= name.labels.length && prefixContains(prefix, name.ip)) return labels;
  }
  return undefined;
}
