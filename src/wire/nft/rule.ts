// Room wire: an nftables rule as plain data, rendered both as nft text (text.ts) and as netlink expressions (compile.ts, decompile.ts).

/** One rule. `comment` names the object that caused it and is stored in the rule's userdata. */
export interface NftRule {
  readonly statements: readonly NftStatement[];
  readonly comment?: string;
}

/** What a packet can be asked, by nft's own words. */
export type NftSelector =
  | 'ip saddr'
  | 'ip daddr'
  | 'ip6 saddr'
  | 'ip6 daddr'
  | 'meta l4proto'
  | 'meta nfproto'
  | 'meta mark'
  | 'iifname'
  | 'oifname'
  | 'tcp flags'
  | 'th sport'
  | 'th dport'
  | 'ct state'
  | 'ct status'
  | 'ct mark'
  | 'ct original ip daddr'
  | 'ct original ip6 daddr'
  | 'ct original proto-dst'
  | 'fib saddr type'
  | 'fib daddr type';

/** A part of a key that is computed: a random number in offset … offset+mod-1 (offset 0 when absent), or a hash of selectors in 0 … mod-1. */
export type NftComputed =
  | { readonly compute: 'random'; readonly mod: number; readonly offset?: number }
  | { readonly compute: 'jhash'; readonly of: readonly NftSelector[]; readonly mod: number };

export type NftKeyPart = NftSelector | NftComputed;

export type NftVerdict =
  | { readonly verdict: 'accept' | 'drop' | 'return' }
  | { readonly verdict: 'jump' | 'goto'; readonly chain: string };

export type NftStatement =
  /**
   * `right` is an address, a prefix (`10.244.0.0/16`), a protocol's name, a port, a mark, an interface's name, a fib type; for `ct state` and
   * `ct status` names with commas, by rising bits, true when any of them is set. `not` is true when it does not match.
   */
  | { readonly kind: 'match'; readonly left: NftSelector; readonly not?: true; readonly right: string | number }
  /** `ordered` where the set holds intervals of concatenations: its keys are in network order whole. */
  | {
      readonly kind: 'lookup';
      readonly key: readonly NftSelector[];
      readonly not?: true;
      readonly set: string;
      readonly ordered?: true;
    }
  | { readonly kind: 'vmap'; readonly key: readonly NftKeyPart[]; readonly map: string }
  | ({ readonly kind: 'verdict' } & NftVerdict)
  /** Translation to an address, with a port or without; or to what a map of (address, port) holds under the key. */
  | { readonly kind: 'snat' | 'dnat'; readonly to: string; readonly port?: number }
  | { readonly kind: 'dnat'; readonly key: readonly NftKeyPart[]; readonly map: string }
  /** To what a map of marks holds under the key, where it holds something. */
  | { readonly kind: 'set ct mark'; readonly key: readonly NftKeyPart[]; readonly map: string }
  /** Puts (key : data) into a dynamic map for `timeout` seconds; one that is there keeps its data and lasts anew. */
  | {
      readonly kind: 'update';
      readonly set: string;
      readonly key: readonly NftSelector[];
      readonly data: NftSelector;
      readonly timeout: number;
    }
  /** Takes the key out of a dynamic map. The kernel asks for data, and does not look at them. */
  | { readonly kind: 'delete'; readonly set: string; readonly key: readonly NftSelector[]; readonly data: NftSelector }
  | { readonly kind: 'masquerade' }
  | { readonly kind: 'redirect'; readonly port: number }
  | { readonly kind: 'reject'; readonly with: 'tcp reset' | 'port-unreachable' | 'admin-prohibited' }
  | { readonly kind: 'notrack' }
  | { readonly kind: 'counter' }
  /** From here on every rule that the packet meets is told to whoever listens (trace.ts). */
  | { readonly kind: 'trace' }
  /** With a group: to whoever listens to NFLOG there, else to the kernel's log. */
  | { readonly kind: 'log'; readonly prefix: string; readonly group?: number }
  | { readonly kind: 'set mark'; readonly mark: number }
  /** To what a map of marks holds under the key. The rule ends here for a packet of which it holds nothing. `ordered` as in a lookup. */
  | { readonly kind: 'set mark'; readonly key: readonly NftSelector[]; readonly map: string; readonly ordered?: true }
  | {
      readonly kind: 'limit';
      readonly rate: number;
      readonly per: 'second' | 'minute' | 'hour';
      readonly burst: number;
    };

export type NftFamily = 'ip' | 'ip6' | 'inet';
