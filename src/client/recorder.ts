// Room client: Events, the way in which parts tell users what they did to an object (`kubectl describe`, `kubectl get events`).

import { isNotFound } from '../objects/status.ts';
import { timestamp } from '../objects/time.ts';
import type { ObjectMeta } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { Client } from './client.ts';

const log = logger('events');

/** The object that an event is about: any object as the API returned it. */
export interface Involved {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

export interface EventOptions {
  /** The part of the object that is meant: `spec.containers{web}`. */
  readonly fieldPath?: string;
}

export interface Recorder {
  /** Returns at once; the Event is written behind the caller's back. Equal events raise the count of the first. Never throws. */
  event(involved: Involved, type: 'Normal' | 'Warning', reason: string, message: string, options?: EventOptions): void;
  /** Resolves when every event so far is written or given up. */
  flush(): Promise<void>;
}

export interface RecorderOptions {
  /** The node on which the component runs: `source.host`. */
  readonly host?: string;
}

/** One Event object of the API, and what has happened since it was last written. */
interface Series {
  readonly draft: EventDraft;
  name: string | undefined;
  written: number;
  count: number;
  first: string;
  last: string;
}

type EventDraft = ReturnType<typeof eventDraft>;

/** Different series that are remembered: beyond it the least recently used starts anew. */
const REMEMBERED = 4096;
/** One object may cause this many new events at once, then one each REFILL_MS (client-go's spam filter). */
const BURST = 25;
const REFILL_MS = 5 * 60_000;

/** Writes Events as `component`. They are written one after the other, so that a storm of them never delays real work. */
export function createRecorder(client: Client, component: string, options: RecorderOptions = {}): Recorder {
  const known = new Map<string, Series>();
  const dirty = new Set<Series>();
  const spam = new SpamFilter();
  let pumping: Promise<void> | undefined;

  async function pump(): Promise<void> {
    for (const series of dirty) {
      dirty.delete(series);
      await write(client, series).catch((error: unknown) => {
        log.debug({ err: error, reason: series.draft.reason }, 'an event could not be written');
      });
    }
    pumping = undefined;
  }

  function event(involved: Involved, type: string, reason: string, message: string, extra: EventOptions = {}): void {
    const draft = eventDraft(involved, { type, reason, message, component, host: options.host, ...extra });
    const now = timestamp(Date.now());
    const key = JSON.stringify(draft);
    let series = known.get(key);
    if (!series) {
      if (!spam.admits(`${involved.metadata.uid}/${involved.metadata.name}`)) return;
      series = { draft, name: undefined, written: 0, count: 0, first: now, last: now };
    }
    series.count++;
    series.last = now;
    remember(known, key, series, REMEMBERED);
    dirty.add(series);
    pumping ??= Promise.resolve().then(pump);
  }

  return {
    event,
    async flush() {
      while (pumping) await pumping;
    },
  };
}

interface EventParts extends EventOptions {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly component: string;
  readonly host: string | undefined;
}

function eventDraft({ apiVersion, kind, metadata }: Involved, parts: EventParts) {
  const { type, reason, component, host, fieldPath } = parts;
  return {
    involvedObject: {
      apiVersion,
      kind,
      name: metadata.name!,
      ...(metadata.namespace && { namespace: metadata.namespace }),
      ...(metadata.uid && { uid: metadata.uid }),
      ...(fieldPath && { fieldPath }),
    },
    reason,
    message: parts.message.slice(0, 1024),
    type,
    source: { component, ...(host && { host }) },
    reportingComponent: component,
    reportingInstance: host ?? '',
  };
}

async function write(client: Client, series: Series): Promise<void> {
  const namespace = series.draft.involvedObject.namespace ?? 'default';
  if (series.name) {
    if (await raiseCount(client, series, namespace)) return;
    series.first = series.last;
    series.count -= series.written;
  }
  const name = eventName(series.draft.involvedObject.name);
  const { first, last, count } = series;
  const metadata = { name, namespace };
  await client.create('Event', { metadata, ...series.draft, firstTimestamp: first, lastTimestamp: last, count });
  series.name = name;
  series.written = count;
}

/** False when the Event has expired meanwhile: then a new one tells what is not yet written. */
async function raiseCount(client: Client, series: Series, namespace: string): Promise<boolean> {
  const { count, last } = series;
  try {
    await client.patch('Event', { name: series.name!, namespace }, { count, lastTimestamp: last });
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
  series.written = count;
  return true;
}

/** Object name and nanoseconds in hexadecimal, as client-go names events. */
function eventName(object: string): string {
  const nanoseconds = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
  return `${object.slice(0, 230)}.${nanoseconds.toString(16)}`;
}

/** Map as a least-recently-used cache: insertion order is the order of use. */
function remember<T>(map: Map<string, T>, key: string, value: T, limit: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > limit) map.delete(map.keys().next().value!);
}

/** A token bucket for each object. */
class SpamFilter {
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  admits(key: string): boolean {
    const now = Date.now();
    const bucket = this.#buckets.get(key) ?? { tokens: BURST, at: now };
    const refilled = Math.min(BURST, bucket.tokens + (now - bucket.at) / REFILL_MS);
    const admitted = refilled >= 1;
    remember(this.#buckets, key, { tokens: admitted ? refilled - 1 : refilled, at: now }, REMEMBERED);
    return admitted;
  }
}
