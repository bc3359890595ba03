// Room wire: the fast path as two tc programs: packets of known flows go from pod to pod past the node's own stack.
import { familyOf, type IP, ipBytes } from '../../addr/ip.ts';
import { type MAC, macBytes } from '../../addr/mac.ts';
import { type CIDR, parsePrefix } from '../../addr/prefix.ts';
import { AF_INET, AF_INET6 } from '../netlink/rtnetlink.ts';
import { Assembler } from './assembler.ts';
import { adjustRoom, FIELD, IP_HEADER, outerHeader, storeChecksum, WRAPPING } from './ipip.ts';

/** `struct __sk_buff` */
const SKB = { protocol: 16, ifindex: 40, data: 76, dataEnd: 80 } as const;
const ETHERNET = 14;
const HELPER = { mapLookup: 1, storeBytes: 9, redirectNeighbour: 152, redirectPeer: 155 } as const;
const TCP = 6;
const UDP = 17;
/** FIN, SYN, RST: where a flow begins and ends connection tracking must see it. */
const TCP_TURNS = 0x07;
const TC_UNSPEC = -1;
const TC_SHOT = 2;
/** `enum ip_conntrack_status` */
const IPS = {
  seenReply: 0x02,
  assured: 0x04,
  srcNat: 0x10,
  dstNat: 0x20,
  seqAdjust: 0x40,
  dying: 0x200,
  helper: 0x2000,
};
/** Such flows need more of each packet than its way. */
const NOT_PLAIN = IPS.srcNat | IPS.dstNat | IPS.seqAdjust | IPS.dying | IPS.helper;

/** What both families share; ports follow the IP header, which has no options. */
interface IpLayout {
  readonly label: string;
  readonly header: number;
  readonly next: number;
  readonly src: number;
  readonly addressBytes: number;
}
const IPV4: IpLayout = { label: 'ipv4', header: 20, next: 9, src: 12, addressBytes: 4 };
const IPV6: IpLayout = { label: 'ipv6', header: 40, next: 6, src: 8, addressBytes: 16 };
const ETH_P = { ipv4: 0x0008, ipv6: 0xdd86 } as const;

/** Places on the stack. A route's key is a length and then the same 16 bytes as a pod's. */
const DST = -16;
const ROUTE_KEY = -20;
const SRC = -40;
/** `struct bpf_sock_tuple` */
const TUPLE = -80;
/** `struct bpf_ct_opts` as it was at first: netns, error, protocol. */
const OPTIONS = -96;
const OPTIONS_BYTES = 12;
const TUPLE_BYTES = -104;
const IS_REMOTE = -112;
/** The head of a frame. */
const HEAD = -152;
const CURRENT_NETNS = -1;

/** Address of a pod of this node to the index of its link. */
export const POD_MAP = { keySize: 16, valueSize: 8 } as const;
/**
 * Longest prefix of other nodes' pods to the link, and the neighbour there (`struct bpf_redir_neigh`), or the head of the frame with which
 * packets go straight to the link's far end, how much of it there is, and the sum of what is constant in its IP header.
 */
const ROUTE = { link: 0, neighbour: 4, headBytes: 24, headSum: 28, head: 32 } as const;
const REDIR_NEIGH_BYTES = 20;
const HEAD_ROOM = 36;
export const ROUTE_MAP = { keySize: 20, valueSize: ROUTE.head + HEAD_ROOM } as const;
const MACS = 12;
const ETHERTYPE_IPV4 = [0x08, 0x00];

/** Where a packet goes past its link's own queue: the frame's addresses, and the ends of the tunnel that wraps it. */
interface Straight {
  readonly from: MAC;
  readonly to: MAC;
  readonly tunnel?: { readonly local: IP; readonly remote: IP };
}

/** Numbers of this kernel (BTF): bpf_skb_ct_lookup, bpf_ct_release, and where struct nf_conn has its status. */
export interface ConntrackNumbers {
  readonly lookup: number;
  readonly release: number;
  readonly status: number;
}

export interface FastPathMaps {
  readonly pods: number;
  readonly routes: number;
}

/** IPv4 as IPv6 writes it: ::ffff:a.b.c.d. */
export function addressKey(ip: IP): Uint8Array {
  const key = new Uint8Array(POD_MAP.keySize);
  if (familyOf(ip) === 4) key.set([0xff, 0xff], 10);
  const bytes = ipBytes(ip);
  key.set(bytes, key.length - bytes.length);
  return key;
}

export function podValue(index: number): Uint8Array {
  const value = new Uint8Array(POD_MAP.valueSize);
  new DataView(value.buffer).setUint32(0, index, true);
  return value;
}

/** Addresses alone, or the whole Ethernet header and that of IP in IP. */
function frameHead({ from, to, tunnel }: Straight): Uint8Array {
  const macs = [...macBytes(to), ...macBytes(from)];
  if (!tunnel) return Uint8Array.from(macs);
  return Uint8Array.of(...macs, ...ETHERTYPE_IPV4, ...outerHeader(tunnel.local, tunnel.remote));
}

/** Of 16-bit words as this machine reads them: RFC 1071, section 2 (B). */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes[at]! | (bytes[at + 1]! << 8);
  return sum;
}

export function routeKey(dst: CIDR): Uint8Array {
  const { ip, length, family } = parsePrefix(dst);
  const key = new Uint8Array(ROUTE_MAP.keySize);
  new DataView(key.buffer).setUint32(0, length + (family === 4 ? 96 : 0), true);
  key.set(addressKey(ip), 4);
  return key;
}

/** `straight`: as in a FastRoute. */
export function routeValue(index: number, via: IP, straight?: Straight): Uint8Array {
  const value = new Uint8Array(ROUTE_MAP.valueSize);
  const view = new DataView(value.buffer);
  view.setUint32(ROUTE.link, index, true);
  view.setUint32(ROUTE.neighbour, familyOf(via) === 4 ? AF_INET : AF_INET6, true);
  value.set(ipBytes(via), ROUTE.neighbour + 4);
  if (!straight) return value;
  const head = frameHead(straight);
  value.set(head, ROUTE.head);
  view.setUint32(ROUTE.headBytes, head.length, true);
  view.setUint32(ROUTE.headSum, sumOf(head.subarray(ETHERNET)), true);
  return value;
}

/** For what a pod sends, at the node's end of its veth: only under its own address, to pods here and on other nodes. */
export function fromPod(maps: FastPathMaps, conntrack: ConntrackNumbers): Uint8Array {
  const asm = parse();
  lookUp(asm, maps.pods, SRC).jump('eq', 0, 0, 'pass').load('u32', 1, 0, 0).load('u32', 2, 6, SKB.ifindex);
  asm.jump('ne', 1, { r: 2 }, 'pass');
  lookUp(asm, maps.pods, DST).mov(2, 0).store('u64', 10, IS_REMOTE, { r: 2 }).jump('ne', 0, 0, 'found');
  asm.store('u32', 10, ROUTE_KEY, 128).mov(2, 1).store('u64', 10, IS_REMOTE, { r: 2 });
  lookUp(asm, maps.routes, ROUTE_KEY).jump('eq', 0, 0, 'pass').label('found').mov(8, { r: 0 });
  requireKnownFlow(asm, conntrack).load('u64', 1, 10, IS_REMOTE).jump('ne', 1, 0, 'remote');
  toPeer(asm);
  asm.label('remote').load('u32', 7, 8, ROUTE.headBytes).jump('eq', 7, MACS, 'straight').jump('ne', 7, 0, 'wrapped');
  asm.load('u32', 1, 8, ROUTE.link).mov(2, { r: 8 }).alu('add', 2, ROUTE.neighbour).mov(3, REDIR_NEIGH_BYTES).mov(4, 0);
  asm.call(HELPER.redirectNeighbour).leave();
  asm.label('straight').mov(1, { r: 6 }).mov(2, 0).mov(3, { r: 8 }).alu('add', 3, ROUTE.head).mov(4, MACS).mov(5, 0);
  asm.call(HELPER.storeBytes).jump('ne', 0, 0, 'pass');
  toPeer(asm);
  wrap(asm.label('wrapped'));
  toPeer(asm);
  return asm.label('pass').exit(TC_UNSPEC).label('drop').exit(TC_SHOT).assemble();
}

/** For what comes to the node over a link between nodes, for pods here. */
export function fromWire(maps: FastPathMaps, conntrack: ConntrackNumbers): Uint8Array {
  const asm = lookUp(parse(), maps.pods, DST).jump('eq', 0, 0, 'pass').mov(8, { r: 0 });
  toPeer(requireKnownFlow(asm, conntrack));
  return asm.label('pass').exit(TC_UNSPEC).assemble();
}

/**
 * Puts addresses and ports on the stack. r6 = the packet, r9 = the bit that conntrack must have for its flow. Passes what is
 * not TCP or UDP, has IP options or extension headers, is a fragment, or begins or ends a connection.
 */
function parse(): Assembler {
  const asm = new Assembler().mov(6, { r: 1 }).load('u32', 7, 1, SKB.data).load('u32', 8, 1, SKB.dataEnd);
  asm.load('u32', 2, 1, SKB.protocol).jump('eq', 2, ETH_P.ipv4, 'ipv4').jump('eq', 2, ETH_P.ipv6, 'ipv6').go('pass');
  parseIp(asm, IPV6).go('parsed');
  parseIp(asm, IPV4);
  return asm.label('parsed');
}

function parseIp(asm: Assembler, layout: IpLayout): Assembler {
  const { label, header, next, src, addressBytes } = layout;
  const ports = ETHERNET + header;
  asm.label(label);
  within(asm, ports + 8);
  if (layout === IPV4) asm.load('u8', 2, 7, ETHERNET).jump('ne', 2, 0x45, 'pass');
  // More fragments, or an offset, in network order.
  if (layout === IPV4) asm.load('u16', 2, 7, ETHERNET + 6).jump('set', 2, 0xff3f, 'pass');
  copyAddress(asm, layout, ETHERNET + src, SRC, TUPLE);
  copyAddress(asm, layout, ETHERNET + src + addressBytes, DST, TUPLE + addressBytes);
  asm.load('u32', 2, 7, ports).store('u32', 10, TUPLE + 2 * addressBytes, { r: 2 });
  // By a register: only of those do older verifiers know the value again.
  asm.mov(2, 2 * addressBytes + 4).store('u64', 10, TUPLE_BYTES, { r: 2 });
  asm
    .store('u32', 10, OPTIONS, CURRENT_NETNS)
    .store('u32', 10, OPTIONS + 4, 0)
    .store('u32', 10, OPTIONS + 8, 0);
  asm.load('u8', 2, 7, ETHERNET + next).store('u8', 10, OPTIONS + 8, { r: 2 });
  asm.mov(9, IPS.seenReply).jump('eq', 2, UDP, 'parsed').jump('ne', 2, TCP, 'pass').mov(9, IPS.assured);
  within(asm, ports + 20);
  return asm.load('u8', 2, 7, ports + 13).jump('set', 2, TCP_TURNS, 'pass');
}

/** Without this test the verifier lets nobody read so far. */
function within(asm: Assembler, bytes: number): void {
  asm.mov(1, { r: 7 }).alu('add', 1, bytes).jump('gt', 1, { r: 8 }, 'pass');
}

function copyAddress(asm: Assembler, { addressBytes }: IpLayout, from: number, key: number, tuple: number): void {
  if (addressBytes === 4) asm.store('u64', 10, key, 0).store('u32', 10, key + 8, 0xffff_0000);
  const first = 16 - addressBytes;
  for (let at = 0; at < addressBytes; at += 4) {
    asm
      .load('u32', 2, 7, from + at)
      .store('u32', 10, key + first + at, { r: 2 })
      .store('u32', 10, tuple + at, { r: 2 });
  }
}

function lookUp(asm: Assembler, map: number, key: number): Assembler {
  return asm.loadMap(1, map).stackAddress(2, key).call(HELPER.mapLookup);
}

/**
 * A flow that nobody translates and that was let in by the rules of the node: connection tracking has seen both its sides. All
 * others, and with them those of Services, go the node's way, where rules and translation are.
 */
function requireKnownFlow(asm: Assembler, { lookup, release, status }: ConntrackNumbers): Assembler {
  asm.mov(1, { r: 6 }).stackAddress(2, TUPLE).load('u64', 3, 10, TUPLE_BYTES).stackAddress(4, OPTIONS);
  asm.mov(5, OPTIONS_BYTES).callKernel(lookup).jump('eq', 0, 0, 'pass');
  asm.load('u64', 7, 0, status).mov(1, { r: 0 }).callKernel(release).jump('set', 7, NOT_PLAIN, 'pass');
  return asm.alu('and', 7, { r: 9 }).jump('eq', 7, 0, 'pass');
}

/** Straight to the pod's end of the veth, as if it had come over it. */
function toPeer(asm: Assembler): void {
  asm.load('u32', 1, 8, 0).mov(2, 0).call(HELPER.redirectPeer).leave();
}

/** Around the packet goes the head of its route, with the packet's length and type of service (RFC 6040), and a checksum. */
function wrap(asm: Assembler): void {
  const header = HEAD + ETHERNET;
  for (let at = 0; at < HEAD_ROOM; at += 4)
    asm.load('u32', 1, 8, ROUTE.head + at).store('u32', 10, HEAD + at, { r: 1 });
  asm
    .load('u32', 1, 6, SKB.data)
    .load('u32', 2, 6, SKB.dataEnd)
    .mov(3, { r: 1 })
    .alu('add', 3, ETHERNET + IP_HEADER);
  asm
    .jump('gt', 3, { r: 2 }, 'pass')
    .load('u8', 9, 1, ETHERNET + FIELD.tos)
    .load('u16', 7, 1, ETHERNET + FIELD.length);
  asm.swap16(7).alu('add', 7, IP_HEADER).swap16(7);
  asm.store('u16', 10, header + FIELD.length, { r: 7 }).store('u8', 10, header + FIELD.tos, { r: 9 });
  // The type of service is the second byte of the first word.
  asm.load('u32', 1, 8, ROUTE.headSum).alu('add', 1, { r: 7 }).alu('mul', 9, 256).alu('add', 1, { r: 9 });
  storeChecksum(asm, header);
  adjustRoom(asm, IP_HEADER, WRAPPING);
  asm
    .mov(1, { r: 6 })
    .mov(2, 0)
    .stackAddress(3, HEAD)
    .mov(4, ETHERNET + IP_HEADER)
    .mov(5, 0);
  asm.call(HELPER.storeBytes).jump('ne', 0, 0, 'drop');
}
