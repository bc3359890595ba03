// Room kernel: connection tracking in memory: entries are put in by tests, flushed by the same filters as the real ones.
import { type ConntrackEntry, matchesFilter } from '../wire/conntrack/entry.ts';
import type { ConntrackFilter, TrackedFlow } from './kernel.ts';
import type { ConntrackBackend } from './nft.ts';

export class MemoryConntrack implements ConntrackBackend {
  readonly entries = new Set<ConntrackEntry>();

  flush(filters: readonly ConntrackFilter[]): number {
    const stale = [...this.entries].filter((entry) => filters.some((filter) => matchesFilter(entry, filter)));
    for (const entry of stale) this.entries.delete(entry);
    return stale.length;
  }

  cut(doomed: (flow: TrackedFlow) => boolean): number {
    const cut = [...this.entries].filter(doomed);
    for (const entry of cut) this.entries.delete(entry);
    return cut.length;
  }

  close(): void {}
}

export const fakeConntrack = (): MemoryConntrack => new MemoryConntrack();
