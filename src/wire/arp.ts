// Room wire: ARP for IPv4 over Ethernet (RFC 826): the packet behind the Ethernet header.
import { formatIP, type IP, ipBytes } from '../addr/ip.ts';
import { formatMAC, type MAC, macBytes } from '../addr/mac.ts';

export const ETH_P_ARP = 0x0806;
const OPERATIONS = { request: 1, reply: 2 } as const;
const LENGTH = 28;
const NOBODY = '00:00:00:00:00:00';

export interface ArpPacket {
  readonly operation: keyof typeof OPERATIONS;
  readonly senderMAC: MAC;
  readonly senderIP: IP;
  /** All zero in a request. */
  readonly targetMAC: MAC;
  readonly targetIP: IP;
}

export function encodeArp({ operation, senderMAC, senderIP, targetMAC, targetIP }: ArpPacket): Uint8Array {
  const bytes = new Uint8Array(LENGTH);
  // Ethernet, IPv4, and the lengths of their addresses.
  bytes.set([0, 1, 8, 0, 6, 4, 0, OPERATIONS[operation]]);
  bytes.set(macBytes(senderMAC), 8);
  bytes.set(ipBytes(senderIP), 14);
  bytes.set(macBytes(targetMAC), 18);
  bytes.set(ipBytes(targetIP), 24);
  return bytes;
}

/** Undefined when it is not ARP for IPv4 over Ethernet, or cut off. */
export function decodeArp(bytes: Uint8Array): ArpPacket | undefined {
  const head = [0, 1, 8, 0, 6, 4, 0];
  if (bytes.length < LENGTH || head.some((byte, i) => bytes[i] !== byte)) return undefined;
  const operation = bytes[7] === 1 ? 'request' : bytes[7] === 2 ? 'reply' : undefined;
  return (
    operation && {
      operation,
      senderMAC: formatMAC(bytes.subarray(8, 14)),
      senderIP: formatIP(bytes.subarray(14, 18)),
      targetMAC: formatMAC(bytes.subarray(18, 24)),
      targetIP: formatIP(bytes.subarray(24, 28)),
    }
  );
}

export function arpRequest(senderMAC: MAC, senderIP: IP, targetIP: IP): Uint8Array {
  return encodeArp({ operation: 'request', senderMAC, senderIP, targetMAC: NOBODY, targetIP });
}

/** RFC 5227, section 3: a request for one's own address, which makes all who know the address learn the new place. */
export function arpAnnouncement(mac: MAC, ip: IP): Uint8Array {
  return arpRequest(mac, ip, ip);
}
