// Room wire: DNS messages as plain data (RFC 1035, RFC 6891), and the numbers that stand for types, classes and codes.
import type { IP } from '../../addr/ip.ts';

/** Resource record and query types (IANA DNS parameters). */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

export const CLASS = { IN: 1, CH: 3, ANY: 255 } as const;

export const OPCODE = { QUERY: 0 } as const;

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
  BADCOOKIE: 23,
} as const;

const RCODE_NAMES = new Map<number, string>(Object.entries(RCODE).map(([name, code]) => [code, name]));

export function rcodeName(rcode: number): string {
  return RCODE_NAMES.get(rcode) ?? `RCODE${rcode}`;
}

/** EDNS option codes. */
export const OPTION = { NSID: 3, COOKIE: 10, EDE: 15 } as const;

/** Extended DNS error codes (RFC 8914). */
export const EDE = {
  STALE_ANSWER: 3,
  NOT_READY: 14,
  STALE_NXDOMAIN: 19,
  NO_REACHABLE_AUTHORITY: 22,
  NETWORK_ERROR: 23,
} as const;

/**
 * A domain name in master-file text (RFC 1035 section 5.1) without the final dot; the root is `.`. A dot or backslash
 * inside a label is `\.` or `\\`, other bytes beyond printable ASCII are `\DDD`.
 */
export type Name = string;

/** Record data. A type without a row here is kept as bytes, with names in it decompressed where RFC 3597 allows compression. */
export type RData =
  | { readonly type: 'A'; readonly address: IP }
  | { readonly type: 'AAAA'; readonly address: IP }
  | { readonly type: 'CNAME' | 'NS' | 'PTR'; readonly target: Name }
  | {
      readonly type: 'SRV';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: Name;
    }
  /** Each character of a string is one byte (latin1). */
  | { readonly type: 'TXT'; readonly strings: readonly string[] }
  | {
      readonly type: 'SOA';
      readonly mname: Name;
      readonly rname: Name;
      readonly serial: number;
      readonly refresh: number;
      readonly retry: number;
      readonly expire: number;
      readonly minimum: number;
    }
  | { readonly type: 'other'; readonly code: number; readonly data: Uint8Array };

export type ResourceRecord = RData & { readonly name: Name; readonly class: number; readonly ttl: number };

/** The type's number, as a question asks for it. */
export function typeCode(data: RData): number {
  return data.type === 'other' ? data.code : TYPE[data.type];
}

export interface Question {
  readonly name: Name;
  readonly type: number;
  readonly class: number;
}

export interface EdnsOption {
  readonly code: number;
  readonly data: Uint8Array;
}

/** The OPT record, which is no record at all but an extension of the header. */
export interface Edns {
  readonly udpSize: number;
  readonly version: number;
  readonly dnssecOk: boolean;
  readonly options: readonly EdnsOption[];
}

export interface Message {
  readonly id: number;
  /** QR */
  readonly response: boolean;
  readonly opcode: number;
  /** AA */
  readonly authoritative: boolean;
  /** TC */
  readonly truncated: boolean;
  /** RD */
  readonly recursionDesired: boolean;
  /** RA */
  readonly recursionAvailable: boolean;
  /** AD */
  readonly authenticData: boolean;
  /** CD */
  readonly checkingDisabled: boolean;
  /** With the upper eight bits that OPT carries. */
  readonly rcode: number;
  readonly questions: readonly Question[];
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  /** Without OPT, which is `edns`. */
  readonly additionals: readonly ResourceRecord[];
  readonly edns?: Edns;
}

/** What is wrong with a packet, and as much of its header as could be read: enough to answer FORMERR, or to drop it. */
export interface Malformed {
  readonly malformed: string;
  /** Absent when the packet is shorter than a header. */
  readonly header?: { readonly id: number; readonly response: boolean; readonly opcode: number; readonly rd: boolean };
}
