// Room wire: the fast path as two tc programs: packets of known flows go from pod to pod past the node's own stack.
import { type Family, familyOf, type IP, ipBytes } from '../../addr/ip.ts';
import { type CIDR, parsePrefix } from '../../addr/prefix.ts';
import { AF_INET, AF_INET6 } from '../netlink/rtnetlink.ts';
import { Assembler } from './assembler.ts';
import {
  type ConntrackNumbers,
  clearSlot,
  ETHERNET,
  findSlot,
  IPV4,
  IPV6,
  type IpLayout,
  KNOWN,
  keep,
  type MemoryMaps,
  noteEntry,
  recall,
  SLOT,
  setLocal,
  setRemote,
  WAY,
  WAY_BYTES,
} from './flow-memory.ts';
import { headValue, putHead, type Straight } from './straight.ts';
import { lookInside, unwrap, type VxlanEnd } from './vxlan.ts';

/** `struct __sk_buff` */
const SKB = { protocol: 16, ifindex: 40, data: 76, dataEnd: 80, gsoSize: 176 } as const;
const HELPER = { mapLookup: 1, redirectNeighbour: 152, redirectPeer: 155 } as const;
const TCP = 6;
const UDP = 17;
/** FIN, SYN, RST: where a flow begins and ends connection tracking must see it. */
const TCP_TURNS = 0x07;
const LAYOUTS = [IPV4, IPV6];
const TC_UNSPEC = -1;
const TC_SHOT = 2;
const ETH_P = { ipv4: 0x0008, ipv6: 0xdd86 } as const;

/** Places on the stack. A route's key is a length and then the same 16 bytes as a pod's. */
const DST = -32;
const ROUTE_KEY = -36;
const SRC = -56;
/** `struct bpf_sock_tuple` */
const TUPLE = -96;
/** `struct bpf_ct_opts` as it was at first: netns, error, protocol, direction. */
const OPTIONS = -112;
const OPTIONS_BYTES = 12;
const DIRECTION = OPTIONS + 9;
const TUPLE_BYTES = -120;
const WRAPPED = { place: -136, tos: -152 } as const;
const CURRENT_NETNS = -1;

/** Address of a pod of this node to the index of its link. */
export const POD_MAP = { keySize: 16, valueSize: 8 } as const;
const REDIR_NEIGH_BYTES = 20;
/** Longest prefix of other nodes' pods to the way there. */
export const ROUTE_MAP = { keySize: 20, valueSize: WAY_BYTES } as const;

export interface FastPathMaps extends MemoryMaps {
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

export function routeKey(dst: CIDR): Uint8Array {
  const { ip, length, family } = parsePrefix(dst);
  const key = new Uint8Array(ROUTE_MAP.keySize);
  new DataView(key.buffer).setUint32(0, length + (family === 4 ? 96 : 0), true);
  key.set(addressKey(ip), 4);
  return key;
}

/** `via`: the neighbour over the link of that index; `straight`: as in a FastRoute. */
export function routeValue(index: number, dst: CIDR, via: IP, straight?: Straight): Uint8Array {
  const value = new Uint8Array(ROUTE_MAP.valueSize);
  const view = new DataView(value.buffer);
  view.setUint32(WAY.link, index, true);
  view.setUint32(WAY.neighbour, familyOf(via) === 4 ? AF_INET : AF_INET6, true);
  value.set(ipBytes(via), WAY.neighbour + 4);
  if (straight) value.set(headValue(straight, parsePrefix(dst).family), WAY.head);
  return value;
}

/** What programs are made for. `families`: of the pods' addresses; the others' packets go the node's way. */
export interface FastPathMake {
  readonly maps: FastPathMaps;
  readonly conntrack: ConntrackNumbers;
  readonly families: readonly Family[];
}

/** For what a pod sends, at the node's end of its veth: only under its own address, to pods here and on other nodes. */
export function fromPod(make: FastPathMake): Uint8Array {
  const { maps, conntrack } = make;
  const asm = parse(make);
  lookUp(asm, maps.pods, SRC).jump('eq', 0, 0, 'pass').load('u32', 1, 0, 0).load('u32', 2, 6, SKB.ifindex);
  asm.jump('ne', 1, { r: 2 }, 'pass');
  setLocal(lookUp(asm, maps.pods, DST).jump('eq', 0, 0, 'elsewhere'));
  asm.go('where').label('elsewhere').store('u32', 10, ROUTE_KEY, 128);
  setRemote(lookUp(asm, maps.routes, ROUTE_KEY).jump('eq', 0, 0, 'pass'));
  requireKnownFlow(asm.label('where'), conntrack);
  asm
    .label('known')
    .load('u32', 1, 8, SLOT.way + WAY.neighbour)
    .jump('ne', 1, 0, 'remote');
  toPeer(asm);
  toPeer(putHead(asm.label('remote'), SLOT.way + WAY.head));
  asm
    .label('neighbour')
    .load('u32', 1, 8, SLOT.way + WAY.link)
    .mov(2, { r: 8 })
    .alu('add', 2, SLOT.way + WAY.neighbour);
  asm.mov(3, REDIR_NEIGH_BYTES).mov(4, 0).call(HELPER.redirectNeighbour).leave();
  return asm.label('pass').exit(TC_UNSPEC).label('drop').exit(TC_SHOT).assemble();
}

/** For what comes to the node over a link between nodes, for pods here; `vxlan`: also what is wrapped for this end. */
export function fromWire(make: FastPathMake, vxlan?: VxlanEnd): Uint8Array {
  const { maps, conntrack } = make;
  const asm = parse(make, vxlan);
  setLocal(lookUp(asm, maps.pods, DST).jump('eq', 0, 0, 'pass'));
  requireKnownFlow(asm, conntrack);
  asm.label('known');
  if (vxlan) unwrap(asm, WRAPPED, 'bare');
  toPeer(asm);
  if (!vxlan) return asm.label('pass').exit(TC_UNSPEC).assemble();
  // For the node's stack too, without its device: of several segments in one packet nobody but the device can take the mark off.
  asm.label('pass').load('u32', 1, 6, SKB.gsoSize).jump('ne', 1, 0, 'end');
  unwrap(asm, WRAPPED, 'end');
  return asm.exit(TC_UNSPEC).label('drop').exit(TC_SHOT).assemble();
}

/**
 * r6 = the packet, r8 = the place of its flow, r9 = what conntrack must say of it. Of one that is remembered there: on with `known`;
 * else addresses and ports are put on the stack. Passes what is not TCP or UDP, has IP options or extension headers, is a fragment, or begins
 * or ends a connection.
 */
function parse({ maps, conntrack, families }: FastPathMake, vxlan?: VxlanEnd): Assembler {
  const asm = new Assembler().mov(6, { r: 1 }).load('u32', 7, 1, SKB.data).load('u32', 8, 1, SKB.dataEnd);
  asm.load('u32', 2, 1, SKB.protocol);
  if (vxlan) lookInside(asm, vxlan, WRAPPED);
  const layouts = LAYOUTS.filter(({ of }) => families.includes(of));
  for (const { label } of layouts) asm.jump('eq', 2, ETH_P[label], label);
  asm.go('pass');
  for (const layout of layouts) {
    parseIp(asm.label(layout.label), layout);
    findSlot(asm, maps.slots, layout);
    recall(asm, maps.generation, conntrack, layout, `new ${layout.label}`);
    if (conntrack.again) asm.go('known');
    copyIp(asm.label(`new ${layout.label}`), layout);
    if (layout !== layouts.at(-1)) asm.go('new');
  }
  clearSlot(asm.label('new'), maps.generation);
  return asm;
}

function parseIp(asm: Assembler, layout: IpLayout): void {
  const { label, header, next } = layout;
  const ports = ETHERNET + header;
  within(asm, ports + 8);
  if (layout === IPV4) asm.load('u8', 2, 7, ETHERNET).jump('ne', 2, 0x45, 'pass');
  // More fragments, or an offset, in network order.
  if (layout === IPV4) asm.load('u16', 2, 7, ETHERNET + 6).jump('set', 2, 0xff3f, 'pass');
  asm
    .load('u8', 2, 7, ETHERNET + next)
    .mov(9, KNOWN.udp)
    .jump('eq', 2, UDP, `plain ${label}`);
  asm.jump('ne', 2, TCP, 'pass').mov(9, KNOWN.tcp);
  within(asm, ports + 20);
  asm
    .load('u8', 2, 7, ports + 13)
    .jump('set', 2, TCP_TURNS, 'pass')
    .label(`plain ${label}`);
}

/** Without this test the verifier lets nobody read so far. */
function within(asm: Assembler, bytes: number): void {
  asm.mov(1, { r: 7 }).alu('add', 1, bytes).jump('gt', 1, { r: 8 }, 'pass');
}

function copyIp(asm: Assembler, layout: IpLayout): void {
  const { header, next, src, addressBytes } = layout;
  copyAddress(asm, layout, ETHERNET + src, SRC, TUPLE);
  copyAddress(asm, layout, ETHERNET + src + addressBytes, DST, TUPLE + addressBytes);
  asm.load('u32', 2, 7, ETHERNET + header).store('u32', 10, TUPLE + 2 * addressBytes, { r: 2 });
  // By a register: only of those do older verifiers know the value again.
  asm.mov(2, 2 * addressBytes + 4).store('u64', 10, TUPLE_BYTES, { r: 2 });
  asm
    .store('u32', 10, OPTIONS, CURRENT_NETNS)
    .store('u32', 10, OPTIONS + 4, 0)
    .store('u32', 10, OPTIONS + 8, 0);
  asm.load('u8', 2, 7, ETHERNET + next).store('u8', 10, OPTIONS + 8, { r: 2 });
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
function requireKnownFlow(asm: Assembler, numbers: ConntrackNumbers): void {
  asm.mov(1, { r: 6 }).stackAddress(2, TUPLE).load('u64', 3, 10, TUPLE_BYTES).stackAddress(4, OPTIONS);
  asm.mov(5, OPTIONS_BYTES).callKernel(numbers.lookup).jump('eq', 0, 0, 'pass');
  noteEntry(asm, numbers, DIRECTION);
  asm.mov(1, { r: 0 }).callKernel(numbers.release);
  keep(asm, numbers);
}

/** Straight to the pod's end of the veth, as if it had come over it. */
function toPeer(asm: Assembler): void {
  asm
    .load('u32', 1, 8, SLOT.way + WAY.link)
    .mov(2, 0)
    .call(HELPER.redirectPeer)
    .leave();
}
