// Room ipam: a range of addresses as host-local's configuration has it: part of a subnet, less its gateway and what is reserved.
import { bigIntToIP, type Family, type IP, ipToBigInt } from '../addr/ip.ts';
import { type CIDR, networkOf, parsePrefix, prefixContains, prefixSize } from '../addr/prefix.ts';

/** Both ends are given out. */
export interface AddressRange {
  /** Host bits zero. */
  readonly subnet: CIDR;
  readonly first: IP;
  readonly last: IP;
  /** Never given out. */
  readonly gateway: IP;
}

/** Addresses that are never given out, as prefixes. */
export type Reserved = readonly CIDR[];

export interface RangeChoice {
  readonly subnet: CIDR;
  readonly rangeStart?: IP | undefined;
  readonly rangeEnd?: IP | undefined;
  readonly gateway?: IP | undefined;
}

/**
 * host-local's defaults: from the first address behind the network address to the last before IPv4's broadcast address; the
 * gateway is the first. Throws a RangeError that names the key at fault.
 */
export function addressRange({ subnet, rangeStart, rangeEnd, gateway }: RangeChoice): AddressRange {
  const network = networkOf(subnet);
  const { ip, family } = parsePrefix(network);
  const base = ipToBigInt(ip);
  const size = prefixSize(network);
  if (size < 4n) throw new RangeError(`subnet: ${subnet} is too small to give addresses out of`);
  const nth = (n: bigint) => bigIntToIP(base + n, family);
  const range: AddressRange = {
    subnet: network,
    first: rangeStart ?? nth(1n),
    last: rangeEnd ?? nth(size - (family === 4 ? 2n : 1n)),
    gateway: gateway ?? nth(1n),
  };
  for (const [key, each] of [
    ['rangeStart', range.first],
    ['rangeEnd', range.last],
    ['gateway', range.gateway],
  ] as const) {
    if (!prefixContains(network, each)) throw new RangeError(`${key}: ${each} is not in subnet ${network}`);
  }
  if (ipToBigInt(range.first) > ipToBigInt(range.last))
    throw new RangeError(`rangeStart: ${range.first} is behind rangeEnd ${range.last}`);
  return range;
}

export function rangeFamily(range: AddressRange): Family {
  return parsePrefix(range.subnet).family;
}

export function inRange(range: AddressRange, ip: IP): boolean {
  if (!prefixContains(range.subnet, ip)) return false;
  const n = ipToBigInt(ip);
  return n >= ipToBigInt(range.first) && n <= ipToBigInt(range.last);
}

/** Every address once, from the one behind `after` round to it. */
export function* roundFrom(range: AddressRange, after: IP | undefined): Generator<IP> {
  const family = rangeFamily(range);
  const first = ipToBigInt(range.first);
  const last = ipToBigInt(range.last);
  const start = after !== undefined && inRange(range, after) ? ipToBigInt(after) + 1n : first;
  for (let n = start; n <= last; n++) yield bigIntToIP(n, family);
  for (let n = first; n < start; n++) yield bigIntToIP(n, family);
}

export function isReserved(reserved: Reserved, ip: IP): boolean {
  return reserved.some((cidr) => prefixContains(cidr, ip));
}

export function rangeSize(range: AddressRange): bigint {
  return ipToBigInt(range.last) - ipToBigInt(range.first) + 1n;
}
