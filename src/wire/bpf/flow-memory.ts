// Room wire: flows that connection tracking knew a moment ago, and their ways: what a program keeps of them, so that most packets cost no look-up.
import type { Family } from '../../addr/ip.ts';
import { AF_INET, AF_INET6 } from '../netlink/rtnetlink.ts';
import type { Assembler } from './assembler.ts';
import { HEAD_ROOM, nameFlow } from './straight.ts';

/** `struct __sk_buff` */
const SKB = { ifindex: 40 } as const;
const HELPER = { mapLookup: 1, jiffies: 118 } as const;
export const ETHERNET = 14;

/** What both families share; ports follow the IP header, which has no options. */
export interface IpLayout {
  readonly of: Family;
  readonly label: 'ipv4' | 'ipv6';
  readonly family: number;
  readonly header: number;
  readonly next: number;
  readonly src: number;
  readonly addressBytes: number;
}
export const IPV4: IpLayout = { of: 4, label: 'ipv4', family: AF_INET, header: 20, next: 9, src: 12, addressBytes: 4 };
export const IPV6: IpLayout = { of: 6, label: 'ipv6', family: AF_INET6, header: 40, next: 6, src: 8, addressBytes: 16 };

/**
 * Where packets go: the link; the neighbour over it (`struct bpf_redir_neigh`), of no family for a pod of this node; and the head with
 * which they go straight to the link's far end, where they do.
 */
export const WAY = { link: 0, neighbour: 4, head: 24 } as const;
export const WAY_BYTES = WAY.head + HEAD_ROOM;

/** Of a flow: its entry in connection tracking, that entry's tuple of this direction, its namespace, and since when. */
export const SLOT = { flow: 0, tuple: 8, net: 16, until: 24, generation: 32, from: 36, way: 40 } as const;
const SLOT_BITS = 10;
/**
 * A flow's place follows from its addresses and ports, and the latest that comes there has it. Each CPU has its own: nobody waits
 * for anybody, and nobody reads what another writes.
 */
export const SLOT_MAP = { keySize: 4, valueSize: SLOT.way + WAY_BYTES, maxEntries: 1 << SLOT_BITS } as const;
/** Of one: the number with which all that is remembered holds. Another one, and all is looked up again. */
export const GENERATION_MAP = { keySize: 4, valueSize: 8, maxEntries: 1 } as const;
/** Of a second: after so long a flow is looked up again in any case. */
const FRESH = 0.1;
/**
 * What is past the stack prolongs no entry: with so little left of it a packet goes the node's way, where connection tracking
 * sees it. Half of the shortest that a flow on the fast path has by default: UDP's, 30 s.
 */
const SECONDS_LEFT = 15;

/** `enum ip_conntrack_status` */
const IPS = {
  seenReply: 0x02,
  assured: 0x04,
  confirmed: 0x08,
  srcNat: 0x10,
  dstNat: 0x20,
  seqAdjust: 0x40,
  dying: 0x200,
  helper: 0x2000,
};
/** Such flows need more of each packet than its way. */
const NOT_PLAIN = IPS.srcNat | IPS.dstNat | IPS.seqAdjust | IPS.dying | IPS.helper;
/** What an entry must be: with both sides seen, and for TCP its three-way handshake. */
export const KNOWN = { udp: IPS.confirmed | IPS.seenReply, tcp: IPS.confirmed | IPS.assured } as const;

/** `struct nf_conntrack_tuple`; the verifier refuses to read where no such field is. */
const TUPLE = { src: 0, sport: 16, family: 18, dst: 20, dport: 36, protocol: 38, bytes: 56, begin: 16 } as const;

/** Numbers of this kernel: bpf_skb_ct_lookup, bpf_ct_release, and where struct nf_conn has its status and its timeout (BTF); its HZ. */
export interface ConntrackNumbers {
  readonly lookup: number;
  readonly release: number;
  readonly status: number;
  readonly timeout: number;
  readonly ticksPerSecond: number;
  /** Absent: a flow cannot be looked at again without being looked up (before Linux 6.2). */
  readonly again?: AgainNumbers;
}

/** bpf_rdonly_cast, struct nf_conn and nf_conntrack_tuple, and where nf_conn has its tuples and its namespace. */
export interface AgainNumbers {
  readonly cast: number;
  readonly conn: number;
  readonly tuple: number;
  readonly tuples: number;
  readonly net: number;
}

export interface MemoryMaps {
  readonly slots: number;
  readonly generation: number;
}

/** Places on the stack. */
const INDEX = -8;
const GENERATION = -128;
const TIMEOUT = -144;
const ENTRY = -160;
const ROTATE = 0x9e3779b97f4a7c15n;
const SPREAD = 0xbf58476d1ce4e5b9n;

/** r8 = the place of the flow of the packet whose Ethernet header is at r7. */
export function findSlot(asm: Assembler, slots: number, { header, src, addressBytes }: IpLayout): void {
  asm
    .load('u32', 1, 7, ETHERNET + header)
    .mov64(2, SPREAD)
    .alu('mul', 1, { r: 2 })
    .mov64(2, ROTATE);
  for (let at = 0; at < 2 * addressBytes; at += 8) {
    asm
      .load('u64', 3, 7, ETHERNET + src + at)
      .alu('xor', 1, { r: 3 })
      .alu('mul', 1, { r: 2 });
  }
  asm.alu('rsh', 1, 64 - SLOT_BITS).store('u32', 10, INDEX, { r: 1 });
  asm.loadMap(1, slots).stackAddress(2, INDEX).call(HELPER.mapLookup).jump('eq', 0, 0, 'pass').mov(8, { r: 0 });
}

/**
 * On with `miss` where the place r8 is not that of the packet's flow, or the flow is no longer what it must be (r9), as its entry in
 * connection tracking itself says. Whoever deletes that is heard at once.
 */
export function recall(
  asm: Assembler,
  generation: number,
  numbers: ConntrackNumbers,
  ip: IpLayout,
  miss: string,
): void {
  const { again, status, timeout } = numbers;
  if (!again) return;
  asm.loadValue(1, generation).load('u32', 1, 1, 0).load('u32', 2, 8, SLOT.generation).jump('ne', 1, { r: 2 }, miss);
  asm.load('u32', 1, 6, SKB.ifindex).load('u32', 2, 8, SLOT.from).jump('ne', 1, { r: 2 }, miss);
  asm.call(HELPER.jiffies).load('u64', 1, 8, SLOT.until).jump('gt', 0, { r: 1 }, miss);
  // The kernel may have given the entry's memory to another flow, or to another node's entry of the same.
  asm.load('u64', 1, 8, SLOT.tuple).mov(2, again.tuple).callKernel(again.cast);
  requireSame(asm, ip, miss);
  asm.load('u64', 1, 8, SLOT.flow).mov(2, again.conn).callKernel(again.cast);
  asm.load('u64', 1, 0, again.net).load('u64', 2, 8, SLOT.net).jump('ne', 1, { r: 2 }, miss);
  asm.load('u64', 1, 0, status).jump('set', 1, NOT_PLAIN, miss);
  asm
    .alu('and', 1, { r: 9 })
    .jump('ne', 1, { r: 9 }, miss)
    .load('u32', 1, 0, timeout)
    .store('u64', 10, TIMEOUT, { r: 1 });
  requireTimeLeft(asm, numbers, miss);
}

/** The entry's timeout stands on the stack: jiffies, of which it has the lower half. */
function requireTimeLeft(asm: Assembler, { ticksPerSecond }: ConntrackNumbers, otherwise: string): void {
  asm.call(HELPER.jiffies).load('u64', 1, 10, TIMEOUT).alu('sub', 1, { r: 0 }).mov32(2, -1).alu('and', 1, { r: 2 });
  asm.mov(2, SECONDS_LEFT * ticksPerSecond).jump('gt', 2, { r: 1 }, otherwise);
}

/** r0 = the tuple. */
function requireSame(asm: Assembler, { family, header, next, src, addressBytes }: IpLayout, miss: string): void {
  const same = (size: 'u8' | 'u16' | 'u32', inPacket: number, inTuple: number) =>
    asm
      .load(size, 1, 7, ETHERNET + inPacket)
      .load(size, 2, 0, inTuple)
      .jump('ne', 1, { r: 2 }, miss);
  for (let at = 0; at < addressBytes; at += 4) {
    same('u32', src + at, TUPLE.src + at);
    same('u32', src + addressBytes + at, TUPLE.dst + at);
  }
  same('u16', header, TUPLE.sport);
  same('u16', header + 2, TUPLE.dport);
  same('u8', next, TUPLE.protocol);
  asm.load('u16', 2, 0, TUPLE.family).jump('ne', 2, family, miss);
}

/** Nobody finds anything in the place r8 until `keep`; what changes from now on counts as after it. */
export function clearSlot(asm: Assembler, generation: number): void {
  asm.store('u32', 8, SLOT.generation, 0);
  asm.loadValue(1, generation).load('u32', 1, 1, 0).store('u32', 10, GENERATION, { r: 1 });
}

/** A pod of this node: the index of its link stands where r0 points. */
export function setLocal(asm: Assembler): void {
  asm
    .load('u32', 1, 0, 0)
    .store('u32', 8, SLOT.way + WAY.link, { r: 1 })
    .store('u32', 8, SLOT.way + WAY.neighbour, 0);
}

/** Another node: its way stands where r0 points. */
export function setRemote(asm: Assembler): void {
  for (let at = 0; at < WAY_BYTES; at += 8) asm.load('u64', 1, 0, at).store('u64', 8, SLOT.way + at, { r: 1 });
  nameFlow(asm, SLOT.way + WAY.head);
}

/** r0 = the flow's entry, as the lookup gave it; `direction`: where on the stack it says which of its tuples was meant. r7 = its status. */
export function noteEntry(asm: Assembler, { again, status, timeout }: ConntrackNumbers, direction: number): void {
  asm.load('u64', 7, 0, status).load('u32', 1, 0, timeout).store('u64', 10, TIMEOUT, { r: 1 });
  if (!again) return;
  asm.store('u64', 8, SLOT.flow, { r: 0 }).store('u64', 10, ENTRY, { r: 0 });
  // By the cast, which costs nothing here: for a pointer read from an entry that is held the verifier searches all types of the kernel.
  asm.mov(1, { r: 0 }).mov(2, again.conn).callKernel(again.cast);
  asm.load('u64', 1, 0, again.net).store('u64', 8, SLOT.net, { r: 1 }).load('u64', 0, 10, ENTRY);
  // From here a number as any other.
  asm.load('u64', 1, 8, SLOT.flow).load('u8', 2, 10, direction).alu('mul', 2, TUPLE.bytes).alu('add', 1, { r: 2 });
  asm.alu('add', 1, again.tuples + TUPLE.begin).store('u64', 8, SLOT.tuple, { r: 1 });
}

/** Where the entry is as it must be, packets of the flow find from now on what stands in the place r8. */
export function keep(asm: Assembler, numbers: ConntrackNumbers): void {
  asm.jump('set', 7, NOT_PLAIN, 'pass').alu('and', 7, { r: 9 }).jump('ne', 7, { r: 9 }, 'pass');
  requireTimeLeft(asm, numbers, 'pass');
  if (!numbers.again) return;
  asm.load('u32', 1, 6, SKB.ifindex).store('u32', 8, SLOT.from, { r: 1 });
  asm.alu('add', 0, Math.ceil(FRESH * numbers.ticksPerSecond)).store('u64', 8, SLOT.until, { r: 0 });
  asm.load('u32', 1, 10, GENERATION).store('u32', 8, SLOT.generation, { r: 1 });
}
