// Room dns: answers of upstream resolvers, kept for as long as they allow, positive and negative (RFC 2308), and stale when need be.
import { RCODE } from '../wire/dns/message.ts';
import type { Answer } from './query.ts';
import { type CacheSettings, DEFAULT_SETTINGS } from './settings.ts';

/** TTL of records that are given beyond their time, in seconds (RFC 8767 section 5). */
const STALE_TTL = 30;
/** An answer is fetched anew when less than this share of its time is left, if it has been asked for again. */
const PREFETCH_SHARE = 0.1;
const PREFETCH_HITS = 2;

interface Entry {
  readonly answer: Answer;
  /** Seconds. */
  readonly storedAt: number;
  readonly expiresAt: number;
  hits: number;
}

export interface Found {
  /** With the TTLs that are left. */
  readonly answer: Answer;
  /** `due`: true still, and worth asking for again; `stale`: better than nothing. */
  readonly freshness: 'fresh' | 'due' | 'stale';
  /** Seconds of the cache's clock: when its TTLs change, and when it is to be looked at again, at the latest. */
  readonly agesAt: number;
  readonly until: number;
}

export class ResponseCache {
  readonly #entries = new Map<string, Entry>();
  readonly #settings: CacheSettings;
  readonly #now: () => number;
  /** Answers that had to make room. */
  readonly evictions = { success: 0, denial: 0 };

  /** `now` in seconds. */
  constructor(settings: Partial<CacheSettings> = {}, now: () => number = () => performance.now() / 1000) {
    this.#settings = { ...DEFAULT_SETTINGS.cache, ...settings };
    this.#now = now;
  }

  /** How many say that there is something, and how many that there is nothing. */
  get sizes(): { readonly success: number; readonly denial: number } {
    let success = 0;
    for (const { answer } of this.#entries.values()) if (isPositive(answer)) success++;
    return { success, denial: this.#entries.size - success };
  }

  get(key: string): Found | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    const now = this.#now();
    const { answer, storedAt, expiresAt } = entry;
    if (now >= expiresAt) {
      if (now < expiresAt + this.#settings.staleFor) {
        return { answer: withTTL(answer, () => STALE_TTL), freshness: 'stale', agesAt: now, until: now };
      }
      this.#entries.delete(key);
      return undefined;
    }
    entry.hits++;
    const age = Math.floor(now - storedAt);
    const late = this.#settings.prefetch && now >= lateAt(entry);
    const nextSecond = storedAt + age + 1;
    return {
      answer: age === 0 ? answer : withTTL(answer, (ttl) => Math.max(0, ttl - age)),
      freshness: late && entry.hits >= PREFETCH_HITS ? 'due' : 'fresh',
      agesAt: nextSecond,
      // Who asks for it must be seen here once it may be fetched anew.
      until: Math.min(expiresAt, late ? nextSecond : this.#settings.prefetch ? lateAt(entry) : expiresAt),
    };
  }

  /** With no TTL longer than is believed here: who asks us is to believe it no longer. */
  limited(answer: Answer): Answer {
    const { maxTTL, maxNegativeTTL } = this.#settings;
    const most = isPositive(answer) ? maxTTL : maxNegativeTTL;
    return withTTL(answer, (ttl) => Math.min(ttl, most));
  }

  put(key: string, answer: Answer): void {
    const ttl = this.#lifetime(answer);
    if (ttl <= 0 || this.#settings.size === 0) return;
    // A Map keeps the order of insertion: the oldest goes first.
    this.#entries.delete(key);
    if (this.#entries.size >= this.#settings.size) this.#evict();
    const now = this.#now();
    this.#entries.set(key, { answer, storedAt: now, expiresAt: now + ttl, hits: 0 });
  }

  #evict(): void {
    const [key, { answer }] = this.#entries.entries().next().value!;
    this.#entries.delete(key);
    this.evictions[isPositive(answer) ? 'success' : 'denial']++;
  }

  /** Seconds; 0 for what must not be kept: failures, and negative answers without SOA. */
  #lifetime(answer: Answer): number {
    if (answer.rcode !== RCODE.NOERROR && answer.rcode !== RCODE.NXDOMAIN) return 0;
    const ttls = [...answer.answers, ...answer.authorities].map((record) => record.ttl);
    if (isPositive(answer)) return Math.min(this.#settings.maxTTL, ...ttls);
    const soa = answer.authorities.find((record) => record.type === 'SOA');
    return soa?.type === 'SOA' ? Math.min(this.#settings.maxNegativeTTL, soa.minimum, ...ttls) : 0;
  }
}

export function isPositive({ rcode, answers }: Answer): boolean {
  return rcode === RCODE.NOERROR && answers.length > 0;
}

function lateAt({ storedAt, expiresAt }: Entry): number {
  return expiresAt - Math.max(1, (expiresAt - storedAt) * PREFETCH_SHARE);
}

function withTTL(answer: Answer, change: (ttl: number) => number): Answer {
  const changed = <T extends { readonly ttl: number }>(records: readonly T[]) =>
    records.map((record) => ({ ...record, ttl: change(record.ttl) }));
  const { answers, authorities, additionals } = answer;
  return {
    ...answer,
    answers: changed(answers),
    authorities: changed(authorities),
    additionals: changed(additionals),
  };
}
