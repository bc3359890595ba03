// Room wire: Services at the socket: a program at connect() and sendmsg() puts an endpoint in the place of a Service's address, before
// there is a packet; another at recvmsg() and getpeername() puts the Service's address back.
import type { IP } from '../../addr/ip.ts';
import { Assembler } from './assembler.ts';
import { addressKey } from './fast-path.ts';

/** enum bpf_attach_type */
export const SOCKET_HOOKS = {
  connect4: 10,
  connect6: 11,
  sendmsg4: 14,
  sendmsg6: 15,
  recvmsg4: 19,
  recvmsg6: 20,
  getpeername4: 29,
  getpeername6: 30,
} as const;
export type SocketHook = keyof typeof SOCKET_HOOKS;

/** `struct bpf_sock_addr` */
const CTX = { ip4: 4, ip6: 8, port: 24, protocol: 36 } as const;
const HELPER = {
  mapLookup: 1,
  mapUpdate: 2,
  clock: 5,
  random: 7,
  socketCookie: 46,
  netnsCookie: 122,
  setResult: 187,
} as const;
const UDP = 17;
const ALLOW = 1;
const REFUSE = 0;
const ECONNREFUSED = 111;
const SECOND = 1_000_000_000;

/** An address of 16 bytes and a port in network order, and room to the next four. */
const ENDPOINT_BYTES = 20;
const PORT = 16;

/** Address, port and protocol of a Service; each program and each map means this by its key. */
const SERVICE_BYTES = 20;
/** Service to the number of its endpoints, and for how many seconds a client stays with one: 0 for no time. */
export const SERVICE_MAP = { keySize: SERVICE_BYTES, valueSize: 8 } as const;
/** Service and index to an endpoint. */
export const BACKEND_MAP = { keySize: SERVICE_BYTES + 4, valueSize: ENDPOINT_BYTES } as const;
/** Service and endpoint: there as long as the Service has it. */
export const MEMBER_MAP = { keySize: SERVICE_BYTES + ENDPOINT_BYTES, valueSize: 4 } as const;
/** Whose cookie, Service, and which kind of cookie, to an endpoint and the time of the last use. */
export const STICKY_MAP = { keySize: 8 + SERVICE_BYTES + 4, valueSize: 32 } as const;
const STAMP = 24;
/** Socket and endpoint to the Service as which it was meant. */
export const REVERSE_MAP = { keySize: 8 + ENDPOINT_BYTES + 4, valueSize: ENDPOINT_BYTES } as const;

/** File descriptors. */
export interface SocketMaps {
  readonly services: number;
  readonly backends: number;
  readonly members: number;
  readonly sticky: number;
  readonly reverse: number;
}

/** Places on the stack, each as long as its map's key or value. */
const SERVICE = -24;
const STICKY = -56;
const MEMBER = -96;
const BACKEND = -120;
const STICKY_VALUE = -152;
const REVERSE = -184;
const REVERSE_VALUE = -208;
const NOW = -216;
const IS_STICKY = -224;
const PROTOCOLS = { tcp: 6, udp: UDP } as const;

function endpointBytes(ip: IP, port: number): Uint8Array {
  const bytes = new Uint8Array(ENDPOINT_BYTES);
  bytes.set(addressKey(ip));
  new DataView(bytes.buffer).setUint16(PORT, port);
  return bytes;
}

export function serviceKey(ip: IP, protocol: keyof typeof PROTOCOLS, port: number): Uint8Array {
  const key = endpointBytes(ip, port);
  key[18] = PROTOCOLS[protocol];
  return key;
}

export function serviceValue(count: number, affinitySeconds: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(count, affinitySeconds).buffer);
}

export function backendKey(service: Uint8Array, index: number): Uint8Array {
  const key = new Uint8Array(BACKEND_MAP.keySize);
  key.set(service);
  new DataView(key.buffer).setUint32(SERVICE_BYTES, index, true);
  return key;
}

export function memberKey(service: Uint8Array, ip: IP, port: number): Uint8Array {
  const key = new Uint8Array(MEMBER_MAP.keySize);
  key.set(service);
  key.set(endpointBytes(ip, port), SERVICE_BYTES);
  return key;
}

export const backendValue = endpointBytes;

/** `cookie`: the socket's, 8 bytes as the kernel has them. */
export function reverseKey(cookie: Uint8Array, ip: IP, port: number): Uint8Array {
  const key = new Uint8Array(REVERSE_MAP.keySize);
  key.set(cookie);
  key.set(endpointBytes(ip, port), cookie.length);
  return key;
}

export function socketProgram(hook: SocketHook, maps: SocketMaps): Uint8Array {
  const family = hook.endsWith('4') ? 4 : 6;
  const asm = new Assembler().mov(6, { r: 1 });
  return hook.startsWith('connect') || hook.startsWith('sendmsg')
    ? translate(asm, family, maps, hook.startsWith('sendmsg'))
    : translateBack(asm, family, maps);
}

/** r6 = the call. Puts address and port of it on the stack. */
function takeEndpoint(asm: Assembler, family: 4 | 6, to: number): void {
  if (family === 4) {
    asm
      .mov(2, 0)
      .store('u64', 10, to, { r: 2 })
      .store('u32', 10, to + 8, 0xffff_0000);
    asm.load('u32', 2, 6, CTX.ip4).store('u32', 10, to + 12, { r: 2 });
  } else {
    for (let at = 0; at < 16; at += 4) asm.load('u32', 2, 6, CTX.ip6 + at).store('u32', 10, to + at, { r: 2 });
  }
  asm.load('u32', 2, 6, CTX.port).store('u32', 10, to + PORT, { r: 2 });
}

/** Puts the endpoint at `from` (a register) into the call. */
function giveEndpoint(asm: Assembler, family: 4 | 6, from: 0 | 9): void {
  asm.load('u16', 2, from, PORT).store('u32', 6, CTX.port, { r: 2 });
  if (family === 4) asm.load('u32', 2, from, 12).store('u32', 6, CTX.ip4, { r: 2 });
  else {
    for (let at = 0; at < 16; at += 4) asm.load('u32', 2, from, at).store('u32', 6, CTX.ip6 + at, { r: 2 });
  }
}

function copy(asm: Assembler, from: 9 | 10, at: number, to: number, bytes: number): void {
  for (let i = 0; i < bytes; i += 4) asm.load('u32', 2, from, at + i).store('u32', 10, to + i, { r: 2 });
}

function lookUp(asm: Assembler, map: number, key: number): Assembler {
  return asm.loadMap(1, map).stackAddress(2, key).call(HELPER.mapLookup);
}

function update(asm: Assembler, map: number, key: number, value: number): void {
  asm.loadMap(1, map).stackAddress(2, key).stackAddress(3, value).mov(4, 0).call(HELPER.mapUpdate);
}

/** r7 = what the Service is, r8 = how many endpoints it has, r9 = the endpoint. */
function translate(asm: Assembler, family: 4 | 6, maps: SocketMaps, each: boolean): Uint8Array {
  takeEndpoint(asm, family, SERVICE);
  asm
    .load('u32', 2, 6, CTX.protocol)
    .store('u8', 10, SERVICE + 18, { r: 2 })
    .store('u8', 10, SERVICE + 19, 0);
  lookUp(asm, maps.services, SERVICE).jump('eq', 0, 0, 'allow').mov(7, { r: 0 });
  asm.load('u32', 8, 7, 0).jump('eq', 8, 0, 'refuse').load('u32', 7, 7, 4);
  stick(asm, maps, each);
  pick(asm, maps);
  asm
    .label('chosen')
    .load('u8', 2, 10, SERVICE + 18)
    .jump('ne', 2, UDP, 'give');
  rememberService(asm, maps);
  asm.label('give');
  giveEndpoint(asm, family, 9);
  asm.label('allow').exit(ALLOW);
  return asm.label('refuse').mov(1, -ECONNREFUSED).call(HELPER.setResult).exit(REFUSE).assemble();
}

/**
 * A client that stays with its endpoint: with affinity whoever is in the pod, else a UDP socket that sends to the Service datagram by
 * datagram, as it would by a tracked flow.
 */
function stick(asm: Assembler, maps: SocketMaps, each: boolean): void {
  asm.mov(2, 0).store('u64', 10, IS_STICKY, { r: 2 });
  copy(asm, 10, SERVICE, STICKY + 8, SERVICE_BYTES);
  asm.jump('ne', 7, 0, 'affinity');
  if (!each) asm.go('pick');
  else
    asm
      .store('u32', 10, STICKY + 28, 1)
      .mov(1, { r: 6 })
      .call(HELPER.socketCookie)
      .go('cookie');
  asm
    .label('affinity')
    .store('u32', 10, STICKY + 28, 0)
    .mov(1, { r: 6 })
    .call(HELPER.netnsCookie);
  asm.label('cookie').store('u64', 10, STICKY, { r: 0 }).mov(2, 1).store('u64', 10, IS_STICKY, { r: 2 });
  asm.call(HELPER.clock).store('u64', 10, NOW, { r: 0 });
  lookUp(asm, maps.sticky, STICKY).jump('eq', 0, 0, 'pick').mov(9, { r: 0 });
  asm.jump('eq', 7, 0, 'fresh').alu('mul', 7, SECOND).load('u64', 1, 10, NOW).load('u64', 2, 9, STAMP);
  asm.alu('sub', 1, { r: 2 }).jump('gt', 1, { r: 7 }, 'pick').label('fresh');
  copy(asm, 10, SERVICE, MEMBER, SERVICE_BYTES);
  copy(asm, 9, 0, MEMBER + SERVICE_BYTES, ENDPOINT_BYTES);
  lookUp(asm, maps.members, MEMBER).jump('eq', 0, 0, 'pick');
  asm.load('u64', 1, 10, NOW).store('u64', 9, STAMP, { r: 1 }).go('chosen');
}

/**
 * Lookups are not of one moment: when endpoints become fewer between that of the number and that of the endpoint, the first one takes
 * the connection, and where there is not even that one, it is refused.
 */
function pick(asm: Assembler, maps: SocketMaps): void {
  asm.label('pick');
  copy(asm, 10, SERVICE, BACKEND, SERVICE_BYTES);
  asm.call(HELPER.random).alu('and', 0, 0x7fff_ffff).alu('mod', 0, { r: 8 });
  asm.store('u32', 10, BACKEND + SERVICE_BYTES, { r: 0 });
  lookUp(asm, maps.backends, BACKEND)
    .jump('ne', 0, 0, 'picked')
    .store('u32', 10, BACKEND + SERVICE_BYTES, 0);
  lookUp(asm, maps.backends, BACKEND).jump('eq', 0, 0, 'refuse').label('picked').mov(9, { r: 0 });
  asm.load('u64', 2, 10, IS_STICKY).jump('eq', 2, 0, 'chosen');
  copy(asm, 9, 0, STICKY_VALUE, ENDPOINT_BYTES);
  asm.store('u32', 10, STICKY_VALUE + ENDPOINT_BYTES, 0);
  asm.load('u64', 2, 10, NOW).store('u64', 10, STICKY_VALUE + STAMP, { r: 2 });
  update(asm, maps.sticky, STICKY, STICKY_VALUE);
}

/** For UDP alone: of a TCP connection nobody asks who the other end is but by getpeername(), and the map would cost a microsecond each. */
function rememberService(asm: Assembler, maps: SocketMaps): void {
  copy(asm, 10, SERVICE, REVERSE_VALUE, 16);
  asm.load('u16', 2, 10, SERVICE + PORT).store('u32', 10, REVERSE_VALUE + PORT, { r: 2 });
  copy(asm, 9, 0, REVERSE + 8, ENDPOINT_BYTES);
  asm
    .store('u32', 10, REVERSE + 28, 0)
    .mov(1, { r: 6 })
    .call(HELPER.socketCookie)
    .store('u64', 10, REVERSE, { r: 0 });
  update(asm, maps.reverse, REVERSE, REVERSE_VALUE);
}

function translateBack(asm: Assembler, family: 4 | 6, maps: SocketMaps): Uint8Array {
  takeEndpoint(asm, family, REVERSE + 8);
  asm
    .store('u32', 10, REVERSE + 28, 0)
    .mov(1, { r: 6 })
    .call(HELPER.socketCookie)
    .store('u64', 10, REVERSE, { r: 0 });
  lookUp(asm, maps.reverse, REVERSE).jump('eq', 0, 0, 'allow');
  giveEndpoint(asm, family, 0);
  return asm.label('allow').exit(ALLOW).assemble();
}
