// Room kernel: the one interface to a network namespace's state; linux.ts is the real one, fake.ts obeys the same contract.
import type { IP } from '../addr/ip.ts';
import type { ConntrackEntry } from '../wire/conntrack/entry.ts';
import type { KernelItem, NetnsPath } from './items.ts';
import type { NftReading } from './nft.ts';
import type { NftCount, NftSet } from './nft-items.ts';

/** Changes in the order in which they are made: removals of things in the way, additions, changes, removals. */
export interface Transaction {
  readonly add: readonly KernelItem[];
  /** Same identity, other fields. */
  readonly change: readonly { readonly from: KernelItem; readonly to: KernelItem }[];
  readonly remove: readonly KernelItem[];
}

/** conntrack entries to forget: those that match every given field. */
export interface ConntrackFilter {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** Original destination: the ClusterIP, or the node's address for a NodePort. */
  readonly originalDst?: IP;
  readonly originalDstPort?: number;
  /** Where the flow was sent by DNAT: the endpoint (source of the reply tuple). */
  readonly replySrc?: IP;
  readonly replySrcPort?: number;
  /** Spares flows that were sent to one of these: what is left is stale. */
  readonly except?: readonly { readonly ip: IP; readonly port: number }[];
}

/** Flows from an address, or to it after DNAT. */
export type FlowEnd = { readonly originalSrc: IP } | { readonly replySrc: IP };

export type TrackedFlow = ConntrackEntry;

/** A refused operation: what was tried, on which item, errno's name, and the kernel's own words where it gave some. */
export class KernelError extends Error {
  override name = 'KernelError';
  readonly operation: string;
  readonly code: string;
  readonly item: KernelItem | undefined;

  constructor(operation: string, code: string, detail?: string, item?: KernelItem) {
    super(`${operation}: ${code}${detail ? ` (${detail})` : ''}${item ? ` for ${JSON.stringify(item)}` : ''}`);
    this.operation = operation;
    this.code = code;
    this.item = item;
  }
}

/** Links, and all that hangs on them; nftables. */
export type KernelPart = 'links' | 'nft';

export interface Kernel extends NftReading {
  /** Everything of ours in this namespace, or a part of it: interfaces by prefix, routes by protocol, tables by name. Costs a full dump: at start and for repair. */
  read(part?: KernelPart): KernelItem[];
  /**
   * Makes the changes. The nftables part is one atomic batch. Adding what is there in the same form and removing what is
   * gone succeed (idempotent). Throws a KernelError at the first refusal; running again repairs.
   */
  apply(transaction: Transaction): void;
  /** Whether a namespace has a link of that name. What is opened to look serves the apply() that follows in the same turn. */
  hasLink(netns: NetnsPath, name: string): boolean;
  /** The MTU of the way to an address, by the route that leads there, else by its link. Undefined: no way leads there. */
  mtuTo(ip: IP): number | undefined;
  /** Whether others may have changed nftables in this namespace since this was last asked. Costs 5 us and no dump. */
  nftDisturbed(): boolean;
  /** Settles when the links whose removal was asked for are gone: apply() only sees to it that none is counted any more. */
  removed(): Promise<void>;
  /** Deletes matching conntrack entries; returns how many. */
  flushConntrack(filters: readonly ConntrackFilter[]): number;
  /**
   * Deletes of the conntrack entries with these ends those of which `doomed` says true; resolves with how many. The kernel goes through its table
   * on another thread, once for each end; where there are many, once for all of them. A UDP flow's entry may stay for some seconds as `fixed-timeout`,
   * for the rules to judge each packet of.
   */
  cutFlows(ends: readonly FlowEnd[], doomed: (flow: TrackedFlow) => boolean): Promise<number>;
  /** What each element of an nftables set with counters has counted; none where the set is not there. */
  nftCounts(set: NftSet): NftCount[];
  close(): void;
}
