// Room addr: ranges of addresses, written as a CIDR, as `first-last`, or as one address.
import { AddressError, bigIntToIP, type Family, familyOf, type IP, ipToBigInt, isIP } from './ip.ts';
import { parsePrefix, prefixSize } from './prefix.ts';

/** Both ends are included. */
export interface AddressRange {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** Throws an AddressError that says what is wrong with the text. */
export function parseRange(text: string): AddressRange {
  if (text.includes('/')) {
    const prefix = parsePrefix(text);
    const size = prefixSize(prefix);
    const first = (ipToBigInt(prefix.ip) / size) * size;
    return { family: prefix.family, first, last: first + size - 1n };
  }
  const [from = '', to = from, ...more] = text.split('-').map((part) => part.trim());
  if (!isIP(from) || !isIP(to) || more.length > 0) {
    throw new AddressError(`"${text}" is not a CIDR, an address, or a range such as 172.30.0.200-172.30.0.250`);
  }
  const [first, last] = [ipToBigInt(from), ipToBigInt(to)];
  const family = familyOf(from);
  if (family !== familyOf(to)) throw new AddressError(`the ends of "${text}" are of different families`);
  if (last < first) throw new AddressError(`"${text}" ends before it begins`);
  return { family, first, last };
}

export function rangeSize({ first, last }: AddressRange): bigint {
  return last - first + 1n;
}

export function rangeContains(range: AddressRange, ip: IP): boolean {
  if (familyOf(ip) !== range.family) return false;
  const value = ipToBigInt(ip);
  return value >= range.first && value <= range.last;
}

export function rangesOverlap(a: AddressRange, b: AddressRange): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

/** The addresses in order, from `from` on where it is given. */
export function* addressesOf({ family, first, last }: AddressRange, from = first): Generator<IP> {
  for (let value = from < first ? first : from; value <= last; value++) yield bigIntToIP(value, family);
}
