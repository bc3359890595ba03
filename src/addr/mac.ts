// Room addr: Ethernet addresses as lower-case text with colons.
import { AddressError } from './ip.ts';

/** `ee:ee:ee:ee:ee:ee` */
export type MAC = string & { readonly __brand?: 'MAC' };

export function macBytes(mac: MAC): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) throw new AddressError(`"${mac}" is not a MAC address`);
  return Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));
}

export function formatMAC(bytes: Uint8Array): MAC {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
