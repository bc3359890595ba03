// Room kernel: what linux.ts and fake.ts expect of whoever keeps a namespace's nftables and conntrack.
import type { ConntrackFilter, FlowEnd, TrackedFlow } from './kernel.ts';
import type { NftChain, NftCount, NftElement, NftItem, NftSet, NftTable } from './nft-items.ts';

/** A change of one item: same identity, other fields. */
export interface NftChange {
  readonly from: NftItem;
  readonly to: NftItem;
}

export type NftFrame = NftTable | NftSet | NftChain;

/** Looking at what may be very much without holding up the thread: first the frame, then each set's elements, then those in doubt. */
export interface NftReading {
  /** Tables, sets and chains with their rules: all that is ours but elements. */
  readFrame(): NftFrame[];
  /**
   * The elements of a set in pieces of some hundreds, the kernel's walk on pool threads. What is put into the set or taken out meanwhile makes
   * the walk tell others twice, or not at all. Of a set of intervals one piece.
   */
  elementsOf(set: NftSet): AsyncIterable<readonly NftElement[]>;
  /** Of each identity the element that is there at this moment; undefined: none is. */
  lookUp(elements: readonly NftElement[]): (NftElement | undefined)[];
}

/** nftables of one namespace: nft-linux.ts over netlink, nft-fake.ts in memory, one contract suite. */
export interface NftBackend extends NftReading {
  /** Every item of the tables that are ours. */
  read(): NftItem[];
  /**
   * One atomic batch: all of it or nothing, in an order that never leaves a packet without its rule. Adding what is there in
   * the same form and removing what is gone succeed. Throws a KernelError that carries the refused item where it is known.
   */
  apply(add: readonly NftItem[], change: readonly NftChange[], remove: readonly NftItem[]): void;
  /** What each element of a set with counters has counted; none where the set is not there. */
  counts(set: NftSet): NftCount[];
  /** Whether others have committed a change, of whatever table, since this was last asked. */
  disturbed(): boolean;
  close(): void;
}

/** Connection tracking of one namespace. */
export interface ConntrackBackend {
  /** Deletes the entries that match any of the filters; returns how many. */
  flush(filters: readonly ConntrackFilter[]): number;
  /** Deletes of the entries with these ends those of which it says true; resolves with how many. */
  cut(ends: readonly FlowEnd[], doomed: (flow: TrackedFlow) => boolean): Promise<number>;
  close(): void;
}

/** What nft-linux.ts exports as `openNft` and conntrack-linux.ts as `openConntrack`; `netns` absent: the calling thread's. */
export type OpenNft = (netns?: string) => NftBackend;
export type OpenConntrack = (netns?: string) => ConntrackBackend;
/** What nft-fake.ts exports as `fakeNft` and `fakeConntrack`. */
export type FakeNft = () => NftBackend;
export type FakeConntrack = () => ConntrackBackend;
