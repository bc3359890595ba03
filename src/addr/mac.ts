// Room addr: Ethernet addresses as lower-case text with colons.
import { AddressError, type IP, ipBytes } from './ip.ts';

/** `ee:ee:ee:ee:ee:ee` */
export type MAC = string & { readonly __brand?: 'MAC' };

export function macBytes(mac: MAC): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) throw new AddressError(`"${mac}" is not a MAC address`);
  return Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));
}

export function formatMAC(bytes: Uint8Array): MAC {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/**
 * A locally administered address that follows from an IP address, so that it needs no store and stays over restarts:
 * 02, `role`, then the last four bytes of the IP (those of IPv6 folded together).
 */
export function macFromIP(ip: IP, role: number): MAC {
  const bytes = ipBytes(ip);
  const folded = [0, 0, 0, 0];
  for (const [i, byte] of bytes.entries()) folded[i % 4]! ^= byte;
  return formatMAC(Uint8Array.of(0x02, role, ...folded));
}
