// Room wire: the numbers of nf_tables expressions (linux/netfilter/nf_tables.h), one table for compile.ts and decompile.ts.

export const EXPR = { NAME: 1, DATA: 2 } as const;
export const PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4 } as const;
export const META = { DREG: 1, KEY: 2, SREG: 3 } as const;
export const CT = { DREG: 1, KEY: 2, DIRECTION: 3, SREG: 4 } as const;
export const FIB = { DREG: 1, RESULT: 2, FLAGS: 3 } as const;
export const BYTEORDER = { SREG: 1, DREG: 2, OP: 3, LEN: 4, SIZE: 5 } as const;
export const BYTEORDER_HTON = 1;
export const CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
export const CMP_OP = { EQ: 0, NEQ: 1 } as const;
export const BITWISE = { SREG: 1, DREG: 2, LEN: 3, MASK: 4, XOR: 5 } as const;
export const LOOKUP = { SET: 1, SREG: 2, DREG: 3, FLAGS: 5 } as const;
export const LOOKUP_INVERTED = 1;
export const IMMEDIATE = { DREG: 1, DATA: 2 } as const;
export const DATA = { VALUE: 1, VERDICT: 2 } as const;
export const VERDICT = { CODE: 1, CHAIN: 2 } as const;
export const NAT = { TYPE: 1, FAMILY: 2, ADDR_MIN: 3, PROTO_MIN: 5 } as const;
export const NAT_TYPE = { snat: 0, dnat: 1 } as const;
export const NUMGEN = { DREG: 1, MODULUS: 2, TYPE: 3, OFFSET: 4 } as const;
export const DYNSET = { SET: 1, OP: 3, SREG_KEY: 4, SREG_DATA: 5, TIMEOUT: 6 } as const;
export const DYNSET_OP = { update: 1, delete: 2 } as const;
export const NUMGEN_RANDOM = 1;
export const HASH = { SREG: 1, DREG: 2, LEN: 3, MODULUS: 4, SEED: 5, OFFSET: 6, TYPE: 7 } as const;
export const REDIRECT = { PROTO_MIN: 1 } as const;
export const REJECT = { TYPE: 1, CODE: 2 } as const;
export const REJECT_TYPE = { ICMP: 0, TCP_RESET: 1, ICMPX: 2 } as const;
export const COUNTER = { BYTES: 1, PACKETS: 2 } as const;
export const LOG = { GROUP: 1, PREFIX: 2 } as const;
export const LIMIT = { RATE: 1, UNIT: 2, BURST: 3, TYPE: 4, FLAGS: 5 } as const;
export const LIMIT_SECONDS = { second: 1, minute: 60, hour: 3600 } as const;

/** NFPROTO of a table's family. */
export const NFPROTO = { inet: 1, ip: 2, ip6: 10 } as const;

/** NF_DROP, NF_ACCEPT and enum nft_verdicts. */
export const VERDICT_CODE = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;

/** ICMP codes of `reject`, by family: for inet the kernel's own that fit both (NFT_REJECT_ICMPX_…). */
export const REJECT_CODE = {
  ip: { 'port-unreachable': 3, 'admin-prohibited': 13 },
  ip6: { 'port-unreachable': 4, 'admin-prohibited': 1 },
  inet: { 'port-unreachable': 1, 'admin-prohibited': 3 },
} as const;

/** Register of the n-th 32-bit word: those at a multiple of 16 bytes have old names (NFT_REG_1 …), the others NFT_REG32_…. */
export function register(word: number): number {
  return word % 4 === 0 ? 1 + word / 4 : 8 + word;
}
