// Room wire: VXLAN (RFC 7348) over IPv4 as programs on a node's leg know it: the bytes between two Ethernet headers, and how they come off.
import { type IP, ipBytes } from '../../addr/ip.ts';
import type { Assembler } from './assembler.ts';
import { tellCongestion } from './ecn.ts';
import { IP_HEADER } from './ipip.ts';

const ETHERNET = 14;
const UDP_HEADER = 8;
const VXLAN_HEADER = 8;
const IPPROTO_UDP = 17;
/** The VNI counts, and nothing else is said. */
const VNI_IS_VALID = 0x08;
/** Ethernet, IPv4, UDP, VXLAN, Ethernet. */
export const VXLAN_HEAD = ETHERNET + IP_HEADER + UDP_HEADER + VXLAN_HEADER + ETHERNET;
/** What it adds to a frame. */
const WRAP = VXLAN_HEAD - ETHERNET;

/** `bpf_skb_adjust_room`: behind the outer IP header is UDP, and in that an Ethernet header of so many bytes. */
export const ENCAP_UDP = 0x10;
const ENCAP_ETHERNET = 0x40n;
export const ENCAP_VXLAN = (BigInt(ETHERNET) << 56n) | ENCAP_ETHERNET;
const FIXED_GSO = 1;
const DECAP = { ipv4: 0x80, ipv6: 0x100 } as const;
const ADJUST_MAC = 1;
const HELPER = { storeBytes: 9, adjustRoom: 50 } as const;
const ETH_P = { ipv4: 0x0008, ipv6: 0xdd86 } as const;

/** Places behind the first Ethernet header. */
const OUTER = {
  version: 0,
  tos: 1,
  fragment: 6,
  protocol: 9,
  dst: 16,
  port: IP_HEADER + 2,
  flags: IP_HEADER + UDP_HEADER,
} as const;
const VNI = OUTER.flags + 4;
const INNER_TYPE = WRAP - 2;

export interface VxlanEnd {
  readonly local: IP;
  readonly port: number;
  readonly vni: number;
}

/** Places on the stack, eight bytes each. */
export interface Wrapped {
  readonly place: number;
  readonly tos: number;
}

/** UDP without source port, length and checksum, and VXLAN. */
export function vxlanHeaders({ port, vni }: VxlanEnd): Uint8Array {
  const bytes = new Uint8Array(UDP_HEADER + VXLAN_HEADER);
  const view = new DataView(bytes.buffer);
  view.setUint16(2, port);
  view.setUint8(UDP_HEADER, VNI_IS_VALID);
  view.setUint32(UDP_HEADER + 4, vni << 8);
  return bytes;
}

/** As a program on this machine loads it. */
function asLoaded(...bytes: readonly number[]): number {
  return new DataView(Uint8Array.from(bytes).buffer).getInt32(0, true);
}

/**
 * r7 and r8 = the packet's begin and end, r2 = its protocol. Where it is VXLAN for this end, r7 and r2 are afterwards those of the
 * packet inside; `place` on the stack has its protocol, and `tos` what the outer header says of the way. Else they stay, and 0 stands there.
 */
export function lookInside(asm: Assembler, { local, port, vni }: VxlanEnd, { place, tos }: Wrapped): void {
  asm.mov(3, 0).store('u64', 10, place, { r: 3 }).store('u64', 10, tos, { r: 3 }).jump('ne', 2, ETH_P.ipv4, 'outer');
  asm.mov(1, { r: 7 }).alu('add', 1, VXLAN_HEAD).jump('gt', 1, { r: 8 }, 'outer');
  const at = (field: keyof typeof OUTER) => ETHERNET + OUTER[field];
  const expect = (size: 'u8' | 'u16' | 'u32', offset: number, wanted: number) =>
    asm.load(size, 3, 7, offset).mov32(4, wanted).jump('ne', 3, { r: 4 }, 'outer');
  expect('u8', at('version'), 0x45);
  expect('u8', at('protocol'), IPPROTO_UDP);
  expect('u16', at('port'), asLoaded(port >> 8, port & 0xff, 0, 0));
  expect('u32', at('dst'), asLoaded(...ipBytes(local)));
  asm.load('u16', 3, 7, at('fragment')).jump('set', 3, 0xff3f, 'outer');
  expect('u32', at('flags'), asLoaded(VNI_IS_VALID, 0, 0, 0));
  expect('u32', ETHERNET + VNI, asLoaded(vni >> 16, (vni >> 8) & 0xff, vni & 0xff, 0));
  asm.load('u8', 3, 7, at('tos')).store('u64', 10, tos, { r: 3 });
  // Other protocols are left to the node's device.
  asm
    .load('u16', 3, 7, ETHERNET + INNER_TYPE)
    .jump('eq', 3, ETH_P.ipv4, 'inside')
    .jump('ne', 3, ETH_P.ipv6, 'outer');
  asm.label('inside').mov(2, { r: 3 }).alu('add', 7, WRAP).store('u64', 10, place, { r: 2 }).label('outer');
}

/** r6 = the packet. On with `bare`; what does not come off is left to the node's own device (`end`); to `drop` when it cannot be ended. */
export function unwrap(asm: Assembler, { place, tos }: Wrapped, bare: string): void {
  const ready = `${bare} now`;
  asm.load('u64', 5, 10, place).jump('eq', 5, 0, bare);
  asm.mov(4, FIXED_GSO | DECAP.ipv6).jump('ne', 5, ETH_P.ipv4, ready);
  asm.mov(4, FIXED_GSO | DECAP.ipv4).label(ready);
  asm.mov(1, { r: 6 }).mov(2, -WRAP).mov(3, ADJUST_MAC).call(HELPER.adjustRoom).jump('ne', 0, 0, 'end');
  // The outer frame's own type says IPv4.
  asm.load('u64', 5, 10, place).jump('eq', 5, ETH_P.ipv4, `${bare} typed`);
  asm
    .mov(1, { r: 6 })
    .mov(2, ETHERNET - 2)
    .stackAddress(3, place)
    .mov(4, 2)
    .mov(5, 0);
  asm.call(HELPER.storeBytes).jump('ne', 0, 0, 'drop').label(`${bare} typed`).load('u64', 1, 10, tos);
  tellCongestion(asm, bare);
}
