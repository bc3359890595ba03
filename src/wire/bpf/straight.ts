// Room wire: the head of a frame that goes straight to a link's far end: addresses alone, or an outer packet of IP in IP or VXLAN.
import type { IP } from '../../addr/ip.ts';
import { type MAC, macBytes } from '../../addr/mac.ts';
import type { Assembler } from './assembler.ts';
import { ECN } from './ecn.ts';
import { adjustRoom, FIELD, IP_HEADER, IPPROTO_IPIP, outerHeader, storeChecksum, WRAPPING } from './ipip.ts';
import { ENCAP_UDP, ENCAP_VXLAN, VXLAN_HEAD, type VxlanEnd, vxlanHeaders } from './vxlan.ts';

/** `struct __sk_buff` */
const SKB = { length: 0, protocol: 16, data: 76, dataEnd: 80 } as const;
const ETH_P_IP = 0x0008;
const ETHERNET = 14;
const HELPER = { storeBytes: 9, hash: 34 } as const;
const IPPROTO_UDP = 17;
const UDP = { source: 0, length: 4 } as const;
/** Ports that nobody is given by name (RFC 7348, section 5). */
const DYNAMIC_PORTS = 0xc000;

/** As in a FastRoute. */
export interface Straight {
  readonly from: MAC;
  readonly to: MAC;
  readonly ipip?: { readonly local: IP; readonly remote: IP };
  readonly vxlan?: VxlanEnd & { readonly remote: IP; readonly from: MAC; readonly to: MAC };
}

/** Of an IPv4 packet, also of one that is cut into segments later. */
const MOST_BYTES = 0xffff;
const MACS = 12;
const IPIP_HEAD = ETHERNET + IP_HEADER;
/** A head in a map's value: how much of it there is, the sum of what is constant in its IP header, and its bytes. */
export const HEAD = { bytes: 0, sum: 4, head: 8 } as const;
export const HEAD_ROOM = HEAD.head + VXLAN_HEAD;

const ETHERTYPE = { 4: [0x08, 0x00], 6: [0x86, 0xdd] } as const;

/** `family`: of the packets to which it is given. */
export function headValue(straight: Straight, family: 4 | 6): Uint8Array {
  const head = headBytes(straight, family);
  const value = new Uint8Array(HEAD_ROOM);
  const view = new DataView(value.buffer);
  view.setUint32(HEAD.bytes, head.length, true);
  view.setUint32(HEAD.sum, sumOf(head.subarray(ETHERNET, IPIP_HEAD)), true);
  value.set(head, HEAD.head);
  return value;
}

function headBytes({ from, to, ipip, vxlan }: Straight, family: 4 | 6): Uint8Array {
  const macs = [...macBytes(to), ...macBytes(from)];
  if (ipip) return Uint8Array.of(...macs, ...ETHERTYPE[4], ...outerHeader(ipip.local, ipip.remote, IPPROTO_IPIP));
  if (!vxlan) return Uint8Array.from(macs);
  const inner = [...macBytes(vxlan.to), ...macBytes(vxlan.from), ...ETHERTYPE[family]];
  const outer = outerHeader(vxlan.local, vxlan.remote, IPPROTO_UDP);
  return Uint8Array.of(...macs, ...ETHERTYPE[4], ...outer, ...vxlanHeaders(vxlan), ...inner);
}

/** Of 16-bit words as this machine reads them: RFC 1071, section 2 (B). */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes[at]! | (bytes[at + 1]! << 8);
  return sum;
}

/**
 * Gives the packet r6 the head that stands `at` behind r8, where nobody else writes. On with `neighbour` where there is none; to `pass`
 * while nothing is done yet, to `drop` when it cannot be ended.
 */
export function putHead(asm: Assembler, at: number): Assembler {
  asm.load('u32', 7, 8, at + HEAD.bytes).jump('eq', 7, 0, 'neighbour');
  asm.jump('eq', 7, IPIP_HEAD, 'ipip').jump('eq', 7, VXLAN_HEAD, 'vxlan');
  storeHead(asm, at, MACS, 'pass').go('headed');
  ipip(asm.label('ipip'), at);
  asm.go('headed');
  vxlan(asm.label('vxlan'), at);
  return asm.label('headed');
}

function storeHead(asm: Assembler, at: number, bytes: number, failed = 'drop'): Assembler {
  asm
    .mov(1, { r: 6 })
    .mov(2, 0)
    .mov(3, { r: 8 })
    .alu('add', 3, at + HEAD.head);
  return asm.mov(4, bytes).mov(5, 0).call(HELPER.storeBytes).jump('ne', 0, 0, failed);
}

/** The packet's own length and type of service (RFC 6040). */
function ipip(asm: Assembler, at: number): void {
  const header = at + HEAD.head + ETHERNET;
  asm.load('u32', 1, 6, SKB.data).load('u32', 2, 6, SKB.dataEnd);
  asm.mov(3, { r: 1 }).alu('add', 3, IPIP_HEAD).jump('gt', 3, { r: 2 }, 'pass');
  asm.load('u8', 9, 1, ETHERNET + FIELD.tos).load('u16', 7, 1, ETHERNET + FIELD.length);
  asm.swap16(7).alu('add', 7, IP_HEADER).jump('gt', 7, MOST_BYTES, 'pass').swap16(7);
  asm.store('u16', 8, header + FIELD.length, { r: 7 }).store('u8', 8, header + FIELD.tos, { r: 9 });
  sumWith(asm, at);
  storeChecksum(asm, 8, header);
  adjustRoom(asm, IP_HEADER, WRAPPING, 'pass');
  storeHead(asm, at, IPIP_HEAD);
}

/** r1 = the sum of the IP header with the length r7 and the type of service r9, which is the second byte of the first word. */
function sumWith(asm: Assembler, at: number): void {
  asm
    .load('u32', 1, 8, at + HEAD.sum)
    .alu('add', 1, { r: 7 })
    .alu('mul', 9, 256)
    .alu('add', 1, { r: 9 });
}

/** r9 = what the packet r6 says of congestion (RFC 6040), and nothing else of its type of service: as the kernel's device. */
function congestion(asm: Assembler): Assembler {
  asm.load('u32', 1, 6, SKB.data).load('u32', 2, 6, SKB.dataEnd);
  asm
    .mov(3, { r: 1 })
    .alu('add', 3, ETHERNET + IP_HEADER)
    .jump('gt', 3, { r: 2 }, 'pass');
  asm.load('u8', 9, 1, ETHERNET + FIELD.tos).load('u32', 2, 6, SKB.protocol);
  // IPv6 has four bits of its version before the traffic class.
  return asm.jump('eq', 2, ETH_P_IP, 'ecn').alu('rsh', 9, 4).label('ecn').alu('and', 9, ECN);
}

/** UDP's checksum is zero, as RFC 7348 wants it. */
function vxlan(asm: Assembler, at: number): void {
  const header = at + HEAD.head + ETHERNET;
  const udp = header + IP_HEADER;
  // Around the packet: all of the head but the frame's own header.
  asm
    .load('u32', 7, 6, SKB.length)
    .alu('add', 7, VXLAN_HEAD - 2 * ETHERNET)
    .mov(9, { r: 7 });
  asm
    .jump('gt', 7, MOST_BYTES, 'pass')
    .swap16(7)
    .store('u16', 8, header + FIELD.length, { r: 7 });
  asm
    .alu('sub', 9, IP_HEADER)
    .swap16(9)
    .store('u16', 8, udp + UDP.length, { r: 9 });
  congestion(asm).store('u8', 8, header + FIELD.tos, { r: 9 });
  sumWith(asm, at);
  storeChecksum(asm, 8, header);
  adjustRoom(asm, VXLAN_HEAD - ETHERNET, ENCAP_VXLAN | BigInt(WRAPPING | ENCAP_UDP), 'pass');
  storeHead(asm, at, VXLAN_HEAD);
}

/** VXLAN's source port tells flows apart: of the packet r6, into the head `at` behind r8. */
export function nameFlow(asm: Assembler, at: number): void {
  asm
    .load('u32', 1, 8, at + HEAD.bytes)
    .jump('ne', 1, VXLAN_HEAD, 'named')
    .mov(1, { r: 6 })
    .call(HELPER.hash);
  asm.alu('and', 0, 0x3fff).alu('add', 0, DYNAMIC_PORTS).swap16(0);
  asm.store('u16', 8, at + HEAD.head + ETHERNET + IP_HEADER + UDP.source, { r: 0 }).label('named');
}
