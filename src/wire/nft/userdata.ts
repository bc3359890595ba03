// Room wire: what nft itself stores with a set so that it can print keys and data again (libnftnl's udata.h, nftables' expression types).
import type { NftDatatype, NftSet } from './items.ts';

const SET_USERDATA = { KEY_BYTEORDER: 0, DATA_BYTEORDER: 1, KEY_TYPEOF: 3, DATA_TYPEOF: 4 };
const BYTEORDER = { none: 0, host: 1, network: 2 };
const TYPEOF = { EXPRESSION: 0, DATA: 1 };
const EXPRESSION = { payload: 7, meta: 9, concatenation: 13, numgen: 23 };
const PAYLOAD = { DESCRIPTION: 0, FIELD: 1 };
const HEADER = { th: 11, ip: 12, ip6: 13 };
const FIELD = { thDport: 2, ip6Daddr: 9, ipDaddr: 12 };
const META = { MARK: 3, IIFNAME: 6, L4PROTO: 16 };

/** How text.ts declares a set that has an integer: nft has no name for that type, only examples. */
export const EXAMPLES: Readonly<Record<NftDatatype, string>> = {
  ipv4_addr: 'ip daddr',
  ipv6_addr: 'ip6 daddr',
  inet_proto: 'meta l4proto',
  inet_service: 'th dport',
  integer: 'numgen random mod 65536',
  mark: 'meta mark',
  ifname: 'iifname',
  verdict: 'verdict',
};

export function needsExamples(set: NftSet): boolean {
  return set.key.includes('integer') || set.data?.includes('integer') === true;
}

/** The payload of NFTA_SET_USERDATA. Without it `nft list` prints integers backwards, or stops at a concatenation that has one. */
export function setUserdata(set: NftSet): Uint8Array {
  const examples = needsExamples(set);
  const parts: number[] = number(SET_USERDATA.KEY_BYTEORDER, byteorder(set.key));
  if (set.data) parts.push(...number(SET_USERDATA.DATA_BYTEORDER, byteorder(set.data)));
  if (examples) parts.push(...field(SET_USERDATA.KEY_TYPEOF, typeofParts(set.key)));
  if (examples && set.data) parts.push(...field(SET_USERDATA.DATA_TYPEOF, typeofParts(set.data)));
  return Uint8Array.from(parts);
}

function byteorder(types: readonly NftDatatype[]): number {
  if (types.length > 1 || types[0] === 'verdict') return BYTEORDER.none;
  return types[0] === 'integer' || types[0] === 'mark' || types[0] === 'ifname' ? BYTEORDER.host : BYTEORDER.network;
}

function field(type: number, value: readonly number[]): number[] {
  return [type, value.length, ...value];
}

function number(type: number, value: number): number[] {
  return field(type, [...new Uint8Array(Uint32Array.of(value).buffer)]);
}

function typeofParts(types: readonly NftDatatype[]): number[] {
  if (types.length === 1) return example(types[0]!);
  const parts = types.flatMap((type, i) => field(i, example(type)));
  return [...number(TYPEOF.EXPRESSION, EXPRESSION.concatenation), ...field(TYPEOF.DATA, parts)];
}

function example(type: NftDatatype): number[] {
  switch (type) {
    case 'ipv4_addr':
      return payload(HEADER.ip, FIELD.ipDaddr);
    case 'ipv6_addr':
      return payload(HEADER.ip6, FIELD.ip6Daddr);
    case 'inet_service':
      return payload(HEADER.th, FIELD.thDport);
    case 'inet_proto':
      return expression(EXPRESSION.meta, number(0, META.L4PROTO));
    case 'mark':
      return expression(EXPRESSION.meta, number(0, META.MARK));
    case 'ifname':
      return expression(EXPRESSION.meta, number(0, META.IIFNAME));
    case 'integer':
      return expression(EXPRESSION.numgen, [...number(0, 1), ...number(1, 65536), ...number(2, 0)]);
    case 'verdict':
      return [];
  }
}

function expression(type: number, data: readonly number[]): number[] {
  return [...number(TYPEOF.EXPRESSION, type), ...field(TYPEOF.DATA, data)];
}

function payload(header: number, of: number): number[] {
  return expression(EXPRESSION.payload, [...number(PAYLOAD.DESCRIPTION, header), ...number(PAYLOAD.FIELD, of)]);
}
