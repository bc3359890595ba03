// Room wire: nftables objects (tables, chains, sets, maps, elements) as plain values.
import type { NftFamily, NftRule, NftVerdict } from './rule.ts';

/** A table and all in it is ours when its name begins with `podwire`. Identity: family, table. */
export interface NftTable {
  readonly kind: 'table';
  readonly family: NftFamily;
  readonly table: string;
}

/** Identity: family, table, chain. A change of its rules replaces the chain's rules in the one transaction. */
export interface NftChain {
  readonly kind: 'chain';
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: string;
  /** Present on base chains. */
  readonly base?: NftHook;
  readonly rules: readonly NftRule[];
}

/** `priority` is the number: dstnat -100, srcnat 100, raw -300, filter 0. The policy is accept unless said otherwise. */
export interface NftHook {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  readonly priority: number;
  readonly policy?: 'drop';
}

/** Key and data parts by nft's type names. */
export type NftDatatype =
  | 'ipv4_addr'
  | 'ipv6_addr'
  | 'inet_proto'
  | 'inet_service'
  | 'integer'
  | 'mark'
  | 'ifname'
  | 'verdict';

/** A set, or a map when `data` is given. Identity: family, table, set. */
export interface NftSet {
  readonly kind: 'set';
  readonly family: NftFamily;
  readonly table: string;
  readonly set: string;
  readonly key: readonly NftDatatype[];
  readonly data?: readonly NftDatatype[];
  readonly flags?: readonly ('interval' | 'timeout' | 'dynamic')[];
  /** Most elements that packets may put into a dynamic one. */
  readonly size?: number;
  /** Each element counts the packets and bytes that found it (Linux 5.7). */
  readonly counter?: true;
}

/**
 * One part of a key or of data: an address, a protocol (by name where nft has one: tcp, udp, sctp, icmp, ipv6-icmp), a port, an integer, a mark,
 * an interface's name. In an interval set also a prefix, or a range `first-last`.
 */
export type NftValue = string | number;

/** Identity: family, table, set, key. A change of data is delete + add in the one transaction. */
export interface NftElement {
  readonly kind: 'element';
  readonly family: NftFamily;
  readonly table: string;
  readonly set: string;
  readonly key: readonly NftValue[];
  /** Data of a map; a verdict for a verdict map. */
  readonly data?: readonly NftValue[] | NftVerdict;
  /** What caused it, stored in the kernel as a comment: `Service/shop/web`. */
  readonly comment?: string;
}

/** What an element of a set with counters has counted. */
export interface NftCount {
  readonly key: readonly NftValue[];
  readonly packets: number;
  readonly bytes: number;
}

export type NftItem = NftTable | NftChain | NftSet | NftElement;

/** Of two items with the same identity at most one can be there. */
export function nftIdentity(item: NftItem): string {
  const table = `${item.family} ${item.table}`;
  switch (item.kind) {
    case 'table':
      return table;
    case 'chain':
      return `${table} chain ${item.chain}`;
    case 'set':
      return `${table} set ${item.set}`;
    case 'element':
      return `${table} set ${item.set} ${item.key.join(' . ')}`;
  }
}
