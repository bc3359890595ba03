// Room addr: CIDR prefixes.
import { AddressError, bigIntToIP, type Family, familyOf, type IP, ipToBigInt, parseIP } from './ip.ts';

/** A prefix in text with its host bits zero, or an address with its length on a link: `10.244.0.0/24`, `172.30.0.11/24`. */
export type CIDR = string & { readonly __brand?: 'CIDR' };

export interface Prefix {
  readonly ip: IP;
  readonly length: number;
  readonly family: Family;
}

/** Throws an AddressError that names the text; host bits are kept. */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  const ip = slash < 0 ? '' : text.slice(0, slash);
  const length = text.slice(slash + 1);
  const family = familyOf(ip);
  if (!parseIP(ip) || !/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > bits(family)) {
    throw new AddressError(`"${text}" is not a CIDR such as 10.244.0.0/16 or fd00:10:244::/56`);
  }
  return { ip: bigIntToIP(ipToBigInt(ip), family), length: Number(length), family };
}

export function isPrefix(text: string): boolean {
  try {
    parsePrefix(text);
    return true;
  } catch {
    return false;
  }
}

function bits(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** How many addresses the prefix holds. */
export function prefixSize(prefix: CIDR | Prefix): bigint {
  const { length, family } = asPrefix(prefix);
  return 1n << BigInt(bits(family) - length);
}

function asPrefix(prefix: CIDR | Prefix): Prefix {
  return typeof prefix === 'string' ? parsePrefix(prefix) : prefix;
}

/** The prefix with its host bits zeroed, as text. */
export function networkOf(prefix: CIDR | Prefix): CIDR {
  const { ip, length, family } = asPrefix(prefix);
  const size = prefixSize({ ip, length, family });
  return `${bigIntToIP((ipToBigInt(ip) / size) * size, family)}/${length}`;
}

/** The n-th address from the network address on (0 is the network address itself). Throws when n is outside. */
export function nthAddress(prefix: CIDR | Prefix, n: number | bigint): IP {
  const p = asPrefix(prefix);
  const size = prefixSize(p);
  if (BigInt(n) < 0n || BigInt(n) >= size) throw new AddressError(`${p.ip}/${p.length} has no address number ${n}`);
  return bigIntToIP((ipToBigInt(p.ip) / size) * size + BigInt(n), p.family);
}

/** Where `ip` stands in the prefix (0 is the network address), or undefined when it is outside. */
export function indexInPrefix(prefix: CIDR | Prefix, ip: IP): bigint | undefined {
  const p = asPrefix(prefix);
  if (familyOf(ip) !== p.family) return undefined;
  const size = prefixSize(p);
  const offset = ipToBigInt(ip) - (ipToBigInt(p.ip) / size) * size;
  return offset >= 0n && offset < size ? offset : undefined;
}

export function prefixContains(prefix: CIDR | Prefix, ip: IP): boolean {
  return indexInPrefix(prefix, ip) !== undefined;
}

export function prefixesOverlap(a: CIDR | Prefix, b: CIDR | Prefix): boolean {
  return prefixContains(a, asPrefix(b).ip) || prefixContains(b, asPrefix(a).ip);
}

/** The n-th sub-prefix of the given length: subPrefix('10.244.0.0/16', 24, 2) is 10.244.2.0/24. */
export function subPrefix(prefix: CIDR | Prefix, length: number, n: number): CIDR {
  const p = asPrefix(prefix);
  if (length < p.length || length > bits(p.family)) {
    throw new AddressError(`${p.ip}/${p.length} has no sub-prefix of length ${length}`);
  }
  return `${nthAddress(p, BigInt(n) << BigInt(bits(p.family) - length))}/${length}`;
}

/** A single address as a prefix: /32 or /128. */
export function hostPrefix(ip: IP): CIDR {
  return `${ip}/${bits(familyOf(ip))}`;
}
