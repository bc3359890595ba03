// Room dns: the chain's last handler: the rest of the world, asked of upstream resolvers, with a cache.
import { EDE, type Message, RCODE } from '../wire/dns/message.ts';
import { type Answer, failed, type Handler, type Query } from './query.ts';
import { type Found, isPositive, ResponseCache } from './response-cache.ts';
import type { Counter } from './stats.ts';
import type { UpstreamSet } from './upstream-set.ts';

/** Milliseconds for one upstream, and for all together: libc gives up after 5 s. */
const TIMEOUT = 2000;
const DEADLINE = 4500;
/** Milliseconds that a client waits for news while there is a stale answer (RFC 8767 section 5). */
const STALE_AFTER = 1800;
/** Each costs a socket. */
const MAX_IN_FLIGHT = 1000;

export interface ForwardOptions {
  readonly upstreams: UpstreamSet;
  /** May be shared by forwarders that are asked for different names. */
  readonly cache?: ResponseCache;
  /** Milliseconds per upstream. */
  readonly timeout?: number;
}

export interface ForwardCounts {
  /** Of the cache; also those that were given again as bytes. */
  readonly hits: { readonly success: Counter; readonly denial: Counter };
  misses: number;
  prefetched: number;
  servedStale: number;
  /** Questions at a time when no upstream worked, and when too many waited. */
  broken: number;
  rejected: number;
}

/** Why nobody could be asked, in words for `dig` and for status. */
const UNREACHABLE: Answer['ede'] = { code: EDE.NO_REACHABLE_AUTHORITY, text: 'no upstream resolver answers' };
const NO_UPSTREAM: Answer['ede'] = { code: EDE.NO_REACHABLE_AUTHORITY, text: 'no upstream resolver is configured' };

export class Forwarder {
  readonly upstreams: UpstreamSet;
  readonly #timeout: number;
  readonly #cache: ResponseCache;
  readonly #inFlight = new Map<string, Promise<Answer>>();
  readonly counts: ForwardCounts = {
    hits: { success: { count: 0 }, denial: { count: 0 } },
    misses: 0,
    prefetched: 0,
    servedStale: 0,
    broken: 0,
    rejected: 0,
  };

  constructor(options: ForwardOptions) {
    this.upstreams = options.upstreams;
    this.#cache = options.cache ?? new ResponseCache();
    this.#timeout = options.timeout ?? TIMEOUT;
  }

  readonly handler: Handler = (query) => {
    if (this.upstreams.isEmpty) return failed(RCODE.SERVFAIL, NO_UPSTREAM);
    const key = keyOf(query);
    const found = this.#cache.get(key);
    if (found?.freshness === 'stale') return this.#orStale(key, query, found);
    if (found) {
      const hits = this.counts.hits[isPositive(found.answer) ? 'success' : 'denial'];
      hits.count++;
      if (found.freshness === 'due' && !this.#inFlight.has(key)) {
        this.counts.prefetched++;
        void this.#refresh(key, query);
      }
      const validity = { until: found.until * 1000, ages: found.agesAt * 1000, hits };
      return named({ ...found.answer, plugin: 'cache', validity }, query);
    }
    this.counts.misses++;
    return this.#refresh(key, query).then((answer) => named(answer, query));
  };

  /**
   * The same question in flight: waits for its answer. This also ends loops: our own question coming back to us asks nothing
   * new, and fails with the first.
   */
  #refresh(key: string, query: Query): Promise<Answer> {
    return this.#inFlight.get(key) ?? this.#start(key, query);
  }

  #start(key: string, query: Query): Promise<Answer> {
    if (this.#inFlight.size >= MAX_IN_FLIGHT) {
      this.counts.rejected++;
      return Promise.resolve(failed(RCODE.SERVFAIL, UNREACHABLE));
    }
    const running = this.#ask(query).then((told) => {
      const answer = this.#cache.limited(told);
      this.#inFlight.delete(key);
      this.#cache.put(key, answer);
      return answer;
    });
    this.#inFlight.set(key, running);
    return running;
  }

  /** News when they come in time, else what was true before. */
  async #orStale(key: string, query: Query, { answer }: Found): Promise<Answer> {
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    // Where everybody was silent a moment ago nobody need wait.
    const timer = setTimeout(resolve, this.upstreams.anyUsable ? STALE_AFTER : 0, undefined);
    const news = await Promise.race([this.#refresh(key, query), late]);
    clearTimeout(timer);
    if (news && !isFailure(news)) return named(news, query);
    this.counts.servedStale++;
    const code = answer.rcode === RCODE.NXDOMAIN ? EDE.STALE_NXDOMAIN : EDE.STALE_ANSWER;
    return named(
      { ...answer, plugin: 'cache', ede: { code, text: 'no upstream resolver answers: this was true before' } },
      query,
    );
  }

  async #ask(query: Query): Promise<Answer> {
    const deadline = performance.now() + DEADLINE;
    if (!this.upstreams.anyUsable) this.counts.broken++;
    let refusal: Answer | undefined;
    for (const upstream of this.upstreams.candidates()) {
      const left = deadline - performance.now();
      if (left <= 0) break;
      const message = await this.upstreams.ask(upstream, query, Math.min(this.#timeout, left));
      if (!message) continue;
      const answer = answerOf(message);
      if (!isFailure(answer)) return answer;
      refusal = answer;
    }
    return refusal ?? failed(RCODE.SERVFAIL, this.#reason());
  }

  #reason(): Answer['ede'] {
    const { looping } = this.upstreams;
    if (!looping || this.upstreams.anyUsable) return UNREACHABLE;
    return { code: EDE.NO_REACHABLE_AUTHORITY, text: `upstream resolver ${looping.text} leads back to this server` };
  }
}

function isFailure({ rcode }: Answer): boolean {
  return rcode === RCODE.SERVFAIL || rcode === RCODE.REFUSED;
}

function keyOf(query: Query): string {
  const flags = (query.recursionDesired ? 1 : 0) | (query.dnssecOk ? 2 : 0) | (query.checkingDisabled ? 4 : 0);
  return `${query.type} ${flags} ${query.lower}`;
}

function answerOf(message: Message): Answer {
  const { rcode, authenticData, answers, authorities, additionals } = message;
  return { rcode, authoritative: false, authenticData, answers, authorities, additionals };
}

/** Records at the question's name carry it in the case in which this asker wrote it. */
function named(answer: Answer, query: Query): Answer {
  const first = answer.answers[0];
  if (!first || first.name === query.name) return answer;
  const rename = (name: string) => (name.toLowerCase() === query.lower ? query.name : name);
  return { ...answer, answers: answer.answers.map((record) => ({ ...record, name: rename(record.name) })) };
}
