// Room api: one watch: what is there now, then every event of a bucket in order, as fast as its reader takes them.
import type { StatusError } from '../objects/status.ts';
import type { KubeObject } from '../objects/types.ts';
import { showSame, type View } from '../objects/views.ts';
import { type Bucket, Entry, type StoreEvent } from './bucket.ts';
import { expired } from './errors.ts';
import { viewed } from './viewed.ts';

export type WatchType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';

/** Where a watch goes: a chunked response, a MessagePort, a function. */
export interface Sink {
  /** False while the reader is behind: nothing is sent until `Watcher.pump` is called again. */
  readonly ready: boolean;
  send(type: WatchType, entry: Entry): void;
  /** After a run of sends. */
  flush?(): void;
  /** Nothing is sent after. `error` is an ERROR event; without one it is a clean end. */
  end(error?: StatusError): void;
}

export interface WatchSource {
  readonly bucket: Bucket;
  readonly durableRev: number;
  /** Kind and apiVersion of bookmarks. */
  readonly apiVersion: string;
  readonly kind: string;
}

export interface WatchFilter {
  readonly namespace?: string | undefined;
  /** Label and field selectors; absent: everything. */
  readonly matches?: ((object: KubeObject) => boolean) | undefined;
  /** What is sent of objects; a change that it does not show is none. Absent: whole objects. */
  readonly view?: View | undefined;
}

export interface WatchStart {
  /** Sent first, as ADDED. */
  readonly initial?: readonly Entry[] | undefined;
  /** Then the events after this revision. */
  readonly after: number;
  readonly bookmarks: boolean;
  /** The bookmark after the initial objects says that they were all (sendInitialEvents). */
  readonly markInitialEnd?: boolean;
}

const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

/**
 * It keeps a position in the bucket's own list of events, never a queue: a reader that stops reading costs nothing,
 * and one that falls behind the compacted revision gets 410 Expired.
 */
export class Watcher {
  readonly #source: WatchSource;
  readonly #filter: WatchFilter;
  readonly #start: WatchStart;
  readonly #sink: Sink;
  readonly #unwatch: () => void;
  readonly #onStop: () => void;
  #initialSent = 0;
  #initialEnded = false;
  #position: number;
  #durableRev: number;
  #sentRev: number;
  #pumping = false;
  #over = false;

  constructor(source: WatchSource, filter: WatchFilter, start: WatchStart, sink: Sink, onStop: () => void) {
    this.#onStop = onStop;
    this.#source = source;
    this.#filter = filter;
    this.#start = start;
    this.#sink = sink;
    this.#position = source.bucket.positionAfter(start.after);
    this.#durableRev = source.durableRev;
    this.#sentRev = start.after;
    this.#unwatch = source.bucket.watch((durableRev) => {
      this.#durableRev = durableRev;
      this.pump();
    });
  }

  /** Sends what can be sent. Call it once after construction, and whenever the sink became ready again. */
  pump(): void {
    if (this.#pumping || this.#over) return;
    this.#pumping = true;
    try {
      this.#pumpInitial();
      if (this.#initialEnded) this.#pumpEvents();
      if (!this.#over) this.#sink.flush?.();
    } finally {
      this.#pumping = false;
    }
  }

  #pumpInitial(): void {
    const { initial = [], after, markInitialEnd } = this.#start;
    while (!this.#over && this.#sink.ready && this.#initialSent < initial.length) {
      this.#send('ADDED', initial[this.#initialSent++]!);
    }
    if (this.#over || this.#initialEnded || this.#initialSent < initial.length) return;
    this.#initialEnded = true;
    if (markInitialEnd) this.#bookmark(after, { [INITIAL_EVENTS_END]: 'true' });
  }

  #pumpEvents(): void {
    const { bucket } = this.#source;
    while (!this.#over && this.#sink.ready) {
      if (this.#position < bucket.forgotten) {
        this.end(expired(this.#sentRev, bucket.forgottenRev));
        return;
      }
      const event = bucket.events[this.#position - bucket.forgotten];
      if (!event || event.entry.rev > this.#durableRev) return;
      this.#position++;
      this.#sentRev = event.entry.rev;
      this.#sendEvent(event);
    }
  }

  /** An object that enters the selection is ADDED to who watches it, one that leaves it DELETED. */
  #sendEvent({ entry, prev, deleted }: StoreEvent): void {
    const { namespace, matches } = this.#filter;
    if (namespace !== undefined && entry.namespace !== namespace) return;
    const before = prev !== undefined && (!matches || matches(prev.object));
    const after = !deleted && (!matches || matches(entry.object));
    if (before && after && this.#looksSame(prev, entry)) return;
    if (after) this.#send(before ? 'MODIFIED' : 'ADDED', entry);
    else if (before) this.#send('DELETED', deleted ? entry : atRevision(prev, entry.rev));
  }

  #looksSame(prev: Entry, entry: Entry): boolean {
    const { view } = this.#filter;
    return view !== undefined && showSame(viewed(prev, view).object, viewed(entry, view).object);
  }

  #send(type: WatchType, entry: Entry): void {
    const { view } = this.#filter;
    this.#sink.send(type, view ? viewed(entry, view) : entry);
  }

  /** Tells the reader how far it has seen, if it asked for bookmarks and is not behind. */
  bookmark(): void {
    if (!this.#start.bookmarks || this.#over || !this.#initialEnded || !this.#sink.ready) return;
    this.#bookmark(Math.max(this.#sentRev, this.#isCurrent() ? this.#durableRev : 0), undefined);
    this.#sink.flush?.();
  }

  #isCurrent(): boolean {
    const { bucket } = this.#source;
    const next = bucket.events[this.#position - bucket.forgotten];
    return this.#position >= bucket.forgotten && (!next || next.entry.rev > this.#durableRev);
  }

  #bookmark(rev: number, annotations: Record<string, string> | undefined): void {
    const { apiVersion, kind } = this.#source;
    const metadata = { resourceVersion: String(rev), creationTimestamp: null, ...(annotations && { annotations }) };
    this.#sink.send('BOOKMARK', Entry.fromObject(rev, { kind, apiVersion, metadata } as unknown as KubeObject));
  }

  end(error?: StatusError): void {
    if (this.#over) return;
    this.stop();
    this.#sink.end(error);
  }

  /** Like end, but the sink is not told: its reader is gone. */
  stop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#unwatch();
    this.#onStop();
  }
}

function atRevision(entry: Entry, rev: number): Entry {
  const { object } = entry;
  return Entry.fromObject(rev, { ...object, metadata: { ...object.metadata, resourceVersion: String(rev) } });
}
