// Room wire: how each selector is loaded into a register (linux/netfilter/nf_tables.h).
import type { NftValueType } from './datatype.ts';
import type { NftSelector } from './rule.ts';

export type SelectorLoad =
  | { readonly expr: 'payload'; readonly base: 'network' | 'transport'; readonly offset: number }
  | { readonly expr: 'meta'; readonly key: number }
  | { readonly expr: 'ct'; readonly key: number; readonly direction?: number }
  | { readonly expr: 'fib'; readonly flags: number; readonly result: number };

export interface SelectorRow {
  readonly type: NftValueType;
  readonly load: SelectorLoad;
}

export const PAYLOAD_BASE = { network: 1, transport: 2 } as const;
const META = { MARK: 3, IIFNAME: 6, OIFNAME: 7, NFPROTO: 15, L4PROTO: 16 };
const CT = { STATE: 0, STATUS: 2, MARK: 3, PROTO_DST: 12, DST_IP: 20, DST_IP6: 22 };
/** IP_CT_DIR_ORIGINAL */
const ORIGINAL = 0;
const FIB = { SADDR: 1, DADDR: 2, RESULT_ADDRTYPE: 3 };

function payload(base: 'network' | 'transport', offset: number, type: NftValueType): SelectorRow {
  return { type, load: { expr: 'payload', base, offset } };
}

export const SELECTORS: Readonly<Record<NftSelector, SelectorRow>> = {
  'ip saddr': payload('network', 12, 'ipv4_addr'),
  'ip daddr': payload('network', 16, 'ipv4_addr'),
  'ip6 saddr': payload('network', 8, 'ipv6_addr'),
  'ip6 daddr': payload('network', 24, 'ipv6_addr'),
  'th sport': payload('transport', 0, 'inet_service'),
  'th dport': payload('transport', 2, 'inet_service'),
  'tcp flags': payload('transport', 13, 'tcp_flag'),
  'meta l4proto': { type: 'inet_proto', load: { expr: 'meta', key: META.L4PROTO } },
  'meta nfproto': { type: 'nf_proto', load: { expr: 'meta', key: META.NFPROTO } },
  'meta mark': { type: 'mark', load: { expr: 'meta', key: META.MARK } },
  iifname: { type: 'ifname', load: { expr: 'meta', key: META.IIFNAME } },
  oifname: { type: 'ifname', load: { expr: 'meta', key: META.OIFNAME } },
  'ct state': { type: 'ct_state', load: { expr: 'ct', key: CT.STATE } },
  'ct status': { type: 'ct_status', load: { expr: 'ct', key: CT.STATUS } },
  'ct mark': { type: 'mark', load: { expr: 'ct', key: CT.MARK } },
  'ct original ip daddr': { type: 'ipv4_addr', load: { expr: 'ct', key: CT.DST_IP, direction: ORIGINAL } },
  'ct original ip6 daddr': { type: 'ipv6_addr', load: { expr: 'ct', key: CT.DST_IP6, direction: ORIGINAL } },
  'ct original proto-dst': { type: 'inet_service', load: { expr: 'ct', key: CT.PROTO_DST, direction: ORIGINAL } },
  'fib saddr type': { type: 'fib_addrtype', load: { expr: 'fib', flags: FIB.SADDR, result: FIB.RESULT_ADDRTYPE } },
  'fib daddr type': { type: 'fib_addrtype', load: { expr: 'fib', flags: FIB.DADDR, result: FIB.RESULT_ADDRTYPE } },
};

export const META_SET_MARK = META.MARK;
export const META_SET_TRACE = 12;
export const CT_SET_MARK = CT.MARK;

/** The selector that such an expression loads. `length` tells an IPv4 header's field from an IPv6 header's at the same offset. */
export function selectorOf(load: SelectorLoad, family: 'ip' | 'ip6' | 'inet', length: number): NftSelector | undefined {
  for (const [name, row] of Object.entries(SELECTORS) as [NftSelector, SelectorRow][]) {
    if (row.load.expr !== load.expr) continue;
    if (load.expr === 'payload' && load.base === 'network' && !fits(name, family, length)) continue;
    if (
      Object.entries(load).every(([field, value]) => (row.load as unknown as Record<string, unknown>)[field] === value)
    ) {
      return name;
    }
  }
  return undefined;
}

function fits(name: NftSelector, family: 'ip' | 'ip6' | 'inet', length: number): boolean {
  if (family === 'ip') return name.startsWith('ip ');
  if (family === 'ip6') return name.startsWith('ip6 ');
  return name.startsWith('ip ') ? length <= 4 : length > 4;
}
