// Room objects: validation of IP addresses, CIDRs and ports, as numbers and by name.
import { familyOf, isIP, parseIP } from '../../addr/ip.ts';
import { indexInPrefix, type Prefix, parsePrefix, prefixContains } from '../../addr/prefix.ts';
import { type Causes, checkSyntax, invalidValue } from './causes.ts';
import { portNameProblems, portNumberProblems } from './names.ts';

export const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];

/** True when the text is an address; else the cause is noted. Required fields may be missing here: the schema does not ask for them. */
export function checkIP(causes: Causes, field: string, text: string | undefined): boolean {
  if (text !== undefined && isIP(text)) return true;
  causes.push(invalidValue(field, text ?? '', 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'));
  return false;
}

const LOOPBACK = 'may not be in the loopback range (127.0.0.0/8, ::1/128)';
const LINK_LOCAL = 'may not be in the link-local range (169.254.0.0/16, fe80::/10)';
const LINK_MULTICAST = 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)';

/** Why nothing can be sent to the address from another machine; by its bytes, for slices hold a thousand of them. */
function unusable(ip: string, bytes: Uint8Array): string | undefined {
  const [a, b, c] = bytes as unknown as [number, number, number];
  if (bytes.every((byte) => byte === 0)) return `may not be unspecified (${ip})`;
  if (bytes.length === 4) {
    if (a === 127) return LOOPBACK;
    if (a === 169 && b === 254) return LINK_LOCAL;
    return a === 224 && b === 0 && c === 0 ? LINK_MULTICAST : undefined;
  }
  if (bytes[15] === 1 && bytes.subarray(0, 15).every((byte) => byte === 0)) return LOOPBACK;
  if (a === 0xfe && (b & 0xc0) === 0x80) return LINK_LOCAL;
  return a === 0xff && b === 2 ? LINK_MULTICAST : undefined;
}

/** An address to which traffic may be sent: none that means something only to its own machine or link. */
export function checkEndpointIP(causes: Causes, field: string, ip: string): void {
  if (!checkIP(causes, field, ip)) return;
  const why = unusable(ip, parseIP(ip)!);
  if (why) causes.push(invalidValue(field, ip, why));
}

/** The prefix, or undefined when the cause was noted. */
export function checkCIDR(causes: Causes, field: string, text: string): Prefix | undefined {
  try {
    const prefix = parsePrefix(text);
    if (indexInPrefix(prefix, prefix.ip) === 0n) return prefix;
    const why = 'must not have bits set beyond the prefix length';
    causes.push(invalidValue(field, text, why));
    return undefined;
  } catch {
    causes.push(invalidValue(field, text, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'));
    return undefined;
  }
}

/** Whether `inner` lies inside `outer` and is smaller. */
export function isStrictSubset(inner: Prefix, outer: Prefix): boolean {
  return inner.family === outer.family && inner.length > outer.length && prefixContains(outer, inner.ip);
}

/** A port by number or by the name that a container gives it. */
export function checkPort(causes: Causes, field: string, port: number | string): void {
  if (typeof port === 'number') {
    for (const problem of portNumberProblems(port)) causes.push(invalidValue(field, port, problem));
  } else checkSyntax(causes, field, port, portNameProblems(port));
}

export function isFamily(ip: string, family: 4 | 6): boolean {
  return isIP(ip) && familyOf(ip) === family;
}
