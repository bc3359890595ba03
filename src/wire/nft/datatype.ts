// Room wire: nft's data types: their numbers and widths, and their values as bytes and as text.
import { formatIP, ipBytes } from '../../addr/ip.ts';
import type { NftDatatype, NftValue } from './items.ts';

/** What a selector can give besides the types of set keys. */
export type NftValueType =
  | Exclude<NftDatatype, 'verdict'>
  | 'ct_state'
  | 'ct_status'
  | 'fib_addrtype'
  | 'nf_proto'
  | 'tcp_flag';

export interface Datatype {
  /** nft's TYPE_… (libnftables, datatype.h): what `nft list` needs in order to print keys. */
  readonly id: number;
  readonly length: number;
  /** Names for numbers. */
  readonly names?: Readonly<Record<string, number>>;
  /** Names are bits, and a value is some of them joined by commas. */
  readonly bits?: true;
  readonly order?: 'host';
}

const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17, 'ipv6-icmp': 58, sctp: 132 };

export const DATATYPES: Readonly<Record<NftValueType, Datatype>> = {
  integer: { id: 4, length: 4, order: 'host' },
  ipv4_addr: { id: 7, length: 4 },
  ipv6_addr: { id: 8, length: 16 },
  inet_proto: { id: 12, length: 1, names: PROTOCOLS },
  inet_service: { id: 13, length: 2 },
  tcp_flag: { id: 15, length: 1, bits: true, names: { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } },
  mark: { id: 19, length: 4, order: 'host' },
  ct_state: {
    id: 26,
    length: 4,
    order: 'host',
    bits: true,
    names: { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 },
  },
  ct_status: {
    id: 28,
    length: 4,
    order: 'host',
    bits: true,
    names: {
      expected: 1,
      'seen-reply': 2,
      assured: 4,
      confirmed: 8,
      snat: 16,
      dnat: 32,
      dying: 512,
      'fixed-timeout': 1024,
    },
  },
  fib_addrtype: {
    id: 43,
    length: 4,
    order: 'host',
    names: { unspec: 0, unicast: 1, local: 2, broadcast: 3, anycast: 4, multicast: 5, blackhole: 6, unreachable: 7 },
  },
  ifname: { id: 41, length: 16 },
  nf_proto: { id: 38, length: 1, names: { ipv4: 2, ipv6: 10 } },
};

/** A value that its type does not have. */
export class NftValueError extends Error {
  override name = 'NftValueError';
}

/** Writes the value at `at`, where the bytes are zero. */
export function writeValue(bytes: Uint8Array, view: DataView, at: number, type: NftValueType, value: NftValue): void {
  if (type === 'ipv4_addr') writeIPv4(bytes, at, String(value));
  else if (type === 'ipv6_addr') writeIPv6(bytes, at, String(value));
  else if (type === 'ifname') new TextEncoder().encodeInto(String(value), bytes.subarray(at, at + 15));
  else {
    const number = typeof value === 'number' ? value : namedNumber(type, value);
    const { length, order } = DATATYPES[type];
    if (length === 1) bytes[at] = number;
    else if (length === 2) view.setUint16(at, number);
    else view.setUint32(at, number, order === 'host');
  }
}

function writeIPv6(bytes: Uint8Array, at: number, text: string): void {
  const address = ipBytes(text);
  if (address.length !== 16) throw new NftValueError(`"${text}" is not an IPv6 address`);
  bytes.set(address, at);
}

/** Without a regular expression: 200,000 addresses are written when a large cluster's Services are loaded. */
function writeIPv4(bytes: Uint8Array, at: number, text: string): void {
  let part = 0;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 46) {
      bytes[at + dots++] = part;
      part = 0;
    } else if (code >= 48 && code <= 57) part = part * 10 + code - 48;
    else dots = 9;
    if (part > 255 || dots > 3) throw new NftValueError(`"${text}" is not an IPv4 address`);
  }
  if (dots !== 3) throw new NftValueError(`"${text}" is not an IPv4 address`);
  bytes[at + 3] = part;
}

function namedNumber(type: NftValueType, text: string): number {
  const { names, bits } = DATATYPES[type];
  let number = 0;
  for (const name of bits ? text.split(',') : [text]) {
    const found = names?.[name];
    if (found === undefined) throw new NftValueError(`nft's ${type} has no "${name}"`);
    number |= found;
  }
  return number;
}

export function readValue(bytes: Uint8Array, type: NftValueType): NftValue {
  const { length, order, names, bits } = DATATYPES[type];
  const payload = bytes.subarray(0, length);
  if (payload.length < length) throw new NftValueError(`${payload.length} bytes are no ${type}`);
  if (type === 'ipv4_addr' || type === 'ipv6_addr') return formatIP(payload);
  if (type === 'ifname') return new TextDecoder().decode(payload).replace(/\0+$/, '');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const number =
    length === 1 ? view.getUint8(0) : length === 2 ? view.getUint16(0) : view.getUint32(0, order === 'host');
  if (!names) return number;
  const known = Object.entries(names);
  if (!bits) return known.find(([, value]) => value === number)?.[0] ?? number;
  return known
    .filter(([, bit]) => number & bit)
    .map(([name]) => name)
    .join(',');
}

/** Bytes that a value takes in a concatenation: each part begins at a multiple of 4. */
export function slotLength(type: NftValueType): number {
  return (DATATYPES[type].length + 3) & ~3;
}

export function keyLength(types: readonly NftValueType[]): number {
  return types.length === 1 ? DATATYPES[types[0]!].length : types.reduce((sum, type) => sum + slotLength(type), 0);
}

/** nft's number for a concatenation: 6 bits for each part. */
export function concatenatedId(types: readonly NftValueType[]): number {
  return types.reduce((id, type) => ((id << 6) | DATATYPES[type].id) >>> 0, 0);
}

const BY_ID = new Map((Object.keys(DATATYPES) as NftValueType[]).map((name) => [DATATYPES[name].id, name]));

/** The parts of a concatenation, or undefined when it has a type that is not in our table. */
export function typesOfId(id: number): NftValueType[] | undefined {
  const types: NftValueType[] = [];
  for (let rest = id; rest > 0; rest >>>= 6) {
    const type = BY_ID.get(rest & 0x3f);
    if (!type) return undefined;
    types.unshift(type);
  }
  return types;
}

export function readValues(bytes: Uint8Array, types: readonly NftValueType[]): NftValue[] {
  return slotsOf(bytes, types).map((slot, i) => readValue(slot, types[i]!));
}

/** The bytes of each part of a concatenation. */
export function slotsOf(bytes: Uint8Array, types: readonly NftValueType[]): Uint8Array[] {
  let at = 0;
  return types.map((type) => {
    const slot = bytes.subarray(at, at + DATATYPES[type].length);
    at += slotLength(type);
    return slot;
  });
}
