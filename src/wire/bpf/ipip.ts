// Room wire: IP in IP (RFC 2003) as two tc programs on a node's leg: one wraps what leaves for other nodes' pods, one unwraps.
import { type IP, ipBytes } from '../../addr/ip.ts';
import { parsePrefix } from '../../addr/prefix.ts';
import { Assembler, type Register } from './assembler.ts';
import { tellCongestion } from './ecn.ts';

/** `struct __sk_buff` */
const SKB_PROTOCOL = 16;
const ETH_P_IP = 0x0008;
const ETHERNET = 14;
export const IP_HEADER = 20;
export const IPPROTO_IPIP = 4;
const VERSION_AND_LENGTH = 0x45;
const DONT_FRAGMENT = 0x0040;
const TTL = 64;
const HELPER = { mapLookup: 1, storeBytes: 9, loadBytes: 26, adjustRoom: 50 } as const;
const INVALIDATE_HASH = 2;
/** Room between the MAC and the network header. */
const ADJUST_MAC = 1;
/** Segments keep their size: the pods' MTU has room for the outer header. */
const FIXED_GSO = 1;
/** What `adjustRoom` needs to know when an IPv4 header comes in front. */
export const WRAPPING = FIXED_GSO | 2;
const DECAP_IPV4 = 0x80;
/** Results: on with the next program and the packet's way, or an end. */
const TC_UNSPEC = -1;
const TC_SHOT = 2;
/** Places on the stack. */
const OUTER = -56;
const KEY = -32;
const INNER = -24;
export const FIELD = {
  tos: 1,
  length: 2,
  id: 4,
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  src: 12,
  dst: 16,
} as const;

/** Longest-prefix map: prefix of pods to node, and whether what is for them is wrapped. */
export const PEER_MAP = { keySize: 8, valueSize: 8 } as const;
const PEER = { remote: 0, wraps: 4 } as const;

/** `struct bpf_lpm_trie_key` with an IPv4 prefix. */
export function peerKey(dst: string): Uint8Array {
  const { ip, length } = parsePrefix(dst);
  const key = new Uint8Array(PEER_MAP.keySize);
  new DataView(key.buffer).setUint32(0, length, true);
  key.set(ipBytes(ip), 4);
  return key;
}

export function peerValue(remote: IP, wraps: boolean): Uint8Array {
  const value = new Uint8Array(PEER_MAP.valueSize);
  value.set(ipBytes(remote), PEER.remote);
  new DataView(value.buffer).setUint32(PEER.wraps, wraps ? 1 : 0, true);
  return value;
}

function asWord(ip: IP): number {
  return new DataView(Uint8Array.from(ipBytes(ip)).buffer).getInt32(0, true);
}

/** r6 = the packet; other protocols than IPv4 pass. */
function begin(): Assembler {
  return new Assembler().mov(6, { r: 1 }).load('u32', 2, 1, SKB_PROTOCOL).jump('ne', 2, ETH_P_IP, 'pass');
}

function loadHeader(asm: Assembler, at: number, to: number): Assembler {
  asm.mov(1, { r: 6 }).mov(2, at).stackAddress(3, to).mov(4, IP_HEADER).call(HELPER.loadBytes);
  return asm.jump('ne', 0, 0, 'pass');
}

/** r0 = where the node of the address in r2 stands; who is of no other node passes. */
function lookUp(asm: Assembler, map: number): Assembler {
  asm.store('u32', 10, KEY, 32).store('u32', 10, KEY + 4, { r: 2 });
  asm.loadMap(1, map).stackAddress(2, KEY).call(HELPER.mapLookup);
  return asm.jump('eq', 0, 0, 'pass');
}

/** r6 = the packet, which is as it was where it goes to `failed`. */
export function adjustRoom(asm: Assembler, bytes: number, flags: number | bigint, failed = 'drop'): Assembler {
  asm.mov(1, { r: 6 }).mov(2, bytes).mov(3, ADJUST_MAC).mov64(4, BigInt(flags)).call(HELPER.adjustRoom);
  return asm.jump('ne', 0, 0, failed);
}

function end(asm: Assembler): Uint8Array {
  return asm.label('pass').exit(TC_UNSPEC).label('drop').exit(TC_SHOT).assemble();
}

/** For what the link sends. Routes have chosen the next hop already; the outer header names the node behind it. */
export function encapsulate(map: number, local: IP): Uint8Array {
  const asm = loadHeader(begin(), ETHERNET, INNER).load('u32', 2, 10, INNER + FIELD.dst);
  lookUp(asm, map).load('u32', 7, 0, PEER.wraps).jump('eq', 7, 0, 'pass').load('u32', 7, 0, PEER.remote);
  asm.store('u8', 10, OUTER, VERSION_AND_LENGTH);
  // Type of service: ECN and DSCP as inside (RFC 6040).
  asm.load('u8', 2, 10, INNER + FIELD.tos).store('u8', 10, OUTER + FIELD.tos, { r: 2 });
  asm
    .load('u16', 2, 10, INNER + FIELD.length)
    .swap16(2)
    .alu('add', 2, IP_HEADER)
    .swap16(2);
  asm.store('u16', 10, OUTER + FIELD.length, { r: 2 });
  asm.store('u16', 10, OUTER + FIELD.id, 0).store('u16', 10, OUTER + FIELD.fragment, DONT_FRAGMENT);
  asm.store('u8', 10, OUTER + FIELD.ttl, TTL).store('u8', 10, OUTER + FIELD.protocol, IPPROTO_IPIP);
  asm.store('u16', 10, OUTER + FIELD.checksum, 0);
  asm.store('u32', 10, OUTER + FIELD.src, asWord(local)).store('u32', 10, OUTER + FIELD.dst, { r: 7 });
  checksum(asm);
  adjustRoom(asm, IP_HEADER, WRAPPING, 'again').go('wrapped').label('again');
  // A pod passes on what was wrapped before, and the kernel marks no packet twice: it needs no mark.
  adjustRoom(asm, IP_HEADER, FIXED_GSO).label('wrapped');
  asm.mov(1, { r: 6 }).mov(2, ETHERNET).stackAddress(3, OUTER).mov(4, IP_HEADER).mov(5, INVALIDATE_HASH);
  asm.call(HELPER.storeBytes).jump('ne', 0, 0, 'drop');
  return end(asm);
}

/** RFC 1071 over the outer header; the order of bytes does not matter to it. */
function checksum(asm: Assembler): void {
  asm.mov(1, 0);
  for (let at = 0; at < IP_HEADER; at += 2) asm.load('u16', 2, 10, OUTER + at).alu('add', 1, { r: 2 });
  storeChecksum(asm, 10, OUTER);
}

/** Of the header that stands so far from `base`; r1 = the sum of its words. */
export function storeChecksum(asm: Assembler, base: Register, header: number): void {
  for (let fold = 0; fold < 2; fold++) {
    asm.mov(2, { r: 1 }).alu('rsh', 2, 16).alu('and', 1, 0xffff).alu('add', 1, { r: 2 });
  }
  asm.alu('xor', 1, 0xffff).store('u16', base, header + FIELD.checksum, { r: 1 });
}

/** As bytes, without length, type of service and checksum. */
export function outerHeader(local: IP, remote: IP, protocol: number): Uint8Array {
  const header = new Uint8Array(IP_HEADER);
  const view = new DataView(header.buffer);
  view.setUint8(0, VERSION_AND_LENGTH);
  view.setUint16(FIELD.fragment, DONT_FRAGMENT, true);
  view.setUint8(FIELD.ttl, TTL);
  view.setUint8(FIELD.protocol, protocol);
  header.set(ipBytes(local), FIELD.src);
  header.set(ipBytes(remote), FIELD.dst);
  return header;
}

/**
 * For what the link receives. Only what a known node sends in its own name or in that of its own pods is unwrapped: a stranger
 * cannot pass for a pod.
 */
export function decapsulate(map: number, local: IP): Uint8Array {
  const asm = loadHeader(begin(), ETHERNET, OUTER);
  asm.load('u8', 2, 10, OUTER).jump('ne', 2, VERSION_AND_LENGTH, 'pass');
  asm.load('u8', 2, 10, OUTER + FIELD.protocol).jump('ne', 2, IPPROTO_IPIP, 'pass');
  asm
    .load('u32', 2, 10, OUTER + FIELD.dst)
    .mov32(3, asWord(local))
    .jump('ne', 2, { r: 3 }, 'pass');
  loadHeader(asm, ETHERNET + IP_HEADER, INNER).load('u32', 7, 10, OUTER + FIELD.src);
  asm.load('u32', 2, 10, INNER + FIELD.src).jump('eq', 2, { r: 7 }, 'unwrap');
  lookUp(asm, map).load('u32', 2, 0, PEER.remote).jump('ne', 2, { r: 7 }, 'pass');
  asm.label('unwrap');
  adjustRoom(asm, -IP_HEADER, FIXED_GSO | DECAP_IPV4).load('u8', 1, 10, OUTER + FIELD.tos);
  return end(tellCongestion(asm, 'told'));
}
