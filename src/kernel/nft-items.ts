// Room kernel: nftables objects as plain values.
import type { NftRule } from '../wire/nft/rule.ts';

export type NftFamily = 'ip' | 'ip6' | 'inet';

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
  /** Present on base chains. `priority` is the number: dstnat -100, srcnat 100, raw -300, filter 0. */
  readonly base?: {
    readonly type: 'filter' | 'nat' | 'route';
    readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
    readonly priority: number;
    readonly policy?: 'accept' | 'drop';
  };
  readonly rules: readonly NftRule[];
}

/** Key and data parts by nft's type names: `ipv4_addr`, `ipv6_addr`, `inet_proto`, `inet_service`, `integer`, `mark`, `verdict`. */
export type NftDatatype = 'ipv4_addr' | 'ipv6_addr' | 'inet_proto' | 'inet_service' | 'integer' | 'mark' | 'verdict';

/** A set, or a map when `data` is given. Identity: family, table, set. */
export interface NftSet {
  readonly kind: 'set';
  readonly family: NftFamily;
  readonly table: string;
  readonly set: string;
  readonly key: readonly NftDatatype[];
  readonly data?: readonly NftDatatype[];
  readonly flags?: readonly ('interval' | 'timeout' | 'dynamic')[];
}

/** One part of a key or of data: an address, a protocol name or number, a port, an integer, or a verdict. */
export type NftValue = string | number;

/** Identity: family, table, set, key. A change of data is delete + add in the one transaction. */
export interface NftElement {
  readonly kind: 'element';
  readonly family: NftFamily;
  readonly table: string;
  readonly set: string;
  readonly key: readonly NftValue[];
  /** Data of a map; `{verdict: 'goto', chain}` for a verdict map. */
  readonly data?:
    | readonly NftValue[]
    | { readonly verdict: 'goto' | 'jump' | 'accept' | 'drop' | 'return'; readonly chain?: string };
  /** What caused it, stored in the kernel as a comment: `Service/shop/web`. */
  readonly comment?: string;
}

export type NftItem = NftTable | NftChain | NftSet | NftElement;
