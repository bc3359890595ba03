// Room dns: what the handlers of the chain see and give.
import type { IP } from '../addr/ip.ts';
import type { Name, ResourceRecord } from '../wire/dns/message.ts';
import type { Validity } from './packet-cache.ts';

/** One well-formed question of class IN, and what its asker can take. */
export interface Query {
  /** As asked, its case kept. */
  readonly name: Name;
  readonly lower: Name;
  readonly type: number;
  readonly recursionDesired: boolean;
  /** The asker wants DNSSEC records (DO). */
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  /** Absent for a question of our own. */
  readonly client?: { readonly ip: IP };
}

export interface Answer {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly authenticData?: boolean;
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  readonly additionals: readonly ResourceRecord[];
  /** The answers end in a CNAME to this name, which the asker wants followed. */
  readonly alias?: Name;
  /** Why it failed (RFC 8914), for askers that speak EDNS. */
  readonly ede?: { readonly code: number; readonly text: string };
  /** Who gave it, as CoreDNS calls the plugin that would have. */
  readonly plugin?: string;
  /** Whoever asks the same may be given the same for so long; absent: only this asker, only now. */
  readonly validity?: Validity;
}

/** Undefined: not mine, ask the next. Only forwarding has to wait. */
export type Handler = (query: Query) => Answer | Promise<Answer> | undefined;

export function failed(rcode: number, ede?: Answer['ede']): Answer {
  return { rcode, authoritative: false, answers: [], authorities: [], additionals: [], ...(ede && { ede }) };
}

/** The same answer to someone else, at another name, or in part: nothing that is kept as bytes. */
export function onlyNow({ validity: _, ...answer }: Answer): Answer {
  return answer;
}
