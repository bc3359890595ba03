// Room dns: answers of upstream resolvers, kept for as long as they allow, positive and negative (RFC 2308).
import { RCODE } from '../wire/dns/message.ts';
import type { Answer } from './query.ts';

/** Seconds. Longer promises are not believed: an upstream may be split-horizon and the laptop may move. */
const MAX_POSITIVE = 300;
const MAX_NEGATIVE = 30;

interface Entry {
  readonly answer: Answer;
  /** Seconds. */
  readonly storedAt: number;
  readonly expiresAt: number;
}

export class ResponseCache {
  readonly #entries = new Map<string, Entry>();
  readonly #size: number;
  readonly #now: () => number;

  /** `now` in seconds. */
  constructor(size: number, now: () => number = () => performance.now() / 1000) {
    this.#size = size;
    this.#now = now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** With the TTLs that are left. */
  get(key: string): Answer | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    const now = this.#now();
    if (now >= entry.expiresAt) {
      this.#entries.delete(key);
      return undefined;
    }
    return aged(entry.answer, Math.floor(now - entry.storedAt));
  }

  put(key: string, answer: Answer): void {
    const ttl = lifetime(answer);
    if (ttl <= 0) return;
    // A Map keeps the order of insertion: the oldest goes first.
    this.#entries.delete(key);
    if (this.#entries.size >= this.#size) this.#entries.delete(this.#entries.keys().next().value!);
    const now = this.#now();
    this.#entries.set(key, { answer, storedAt: now, expiresAt: now + ttl });
  }
}

/** Seconds; 0 for what must not be kept: failures, and negative answers without SOA. */
function lifetime(answer: Answer): number {
  if (answer.rcode !== RCODE.NOERROR && answer.rcode !== RCODE.NXDOMAIN) return 0;
  const ttls = [...answer.answers, ...answer.authorities].map((record) => record.ttl);
  if (answer.rcode === RCODE.NOERROR && answer.answers.length > 0) return Math.min(MAX_POSITIVE, ...ttls);
  const soa = answer.authorities.find((record) => record.type === 'SOA');
  return soa?.type === 'SOA' ? Math.min(MAX_NEGATIVE, soa.minimum, ...ttls) : 0;
}

function aged(answer: Answer, seconds: number): Answer {
  if (seconds === 0) return answer;
  const age = <T extends { readonly ttl: number }>(records: readonly T[]) =>
    records.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - seconds) }));
  const { answers, authorities, additionals } = answer;
  return { ...answer, answers: age(answers), authorities: age(authorities), additionals: age(additionals) };
}
