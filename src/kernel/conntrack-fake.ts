// Room kernel: connection tracking in memory: entries are put in by tests, flushed by the same filters as the real ones.
import { type ConntrackEntry, matchesFilter } from '../wire/conntrack/entry.ts';
import type { ConntrackFilter, FlowEnd, TrackedFlow } from './kernel.ts';
import type { ConntrackBackend } from './nft.ts';

export class MemoryConntrack implements ConntrackBackend {
  readonly entries = new Set<ConntrackEntry>();

  flush(filters: readonly ConntrackFilter[]): number {
    const stale = [...this.entries].filter((entry) => filters.some((filter) => matchesFilter(entry, filter)));
    for (const entry of stale) this.entries.delete(entry);
    return stale.length;
  }

  async cut(ends: readonly FlowEnd[], doomed: (flow: TrackedFlow) => boolean): Promise<number> {
    const cut = [...this.entries].filter((entry) => ends.some((each) => matchesFilter(entry, each)) && doomed(entry));
    for (const entry of cut) this.entries.delete(entry);
    return cut.length;
  }

  close(): void {}
}

export const fakeConntrack = (): MemoryConntrack => new MemoryConntrack();
