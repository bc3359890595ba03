// Room dns: the chain's last handler: the rest of the world, asked of upstream resolvers, with a cache.
import { isIP } from '../addr/ip.ts';
import { type CIDR, prefixContains } from '../addr/prefix.ts';
import { EDE, type Message, RCODE } from '../wire/dns/message.ts';
import { type Answer, failed, type Handler, type Query } from './query.ts';
import { ResponseCache } from './response-cache.ts';
import { exchange } from './upstream.ts';
import type { UpstreamAddress } from './upstream-socket.ts';

/** Milliseconds for one upstream, and for all together: libc gives up after 5 s. */
const TIMEOUT = 2000;
const DEADLINE = 4500;
/** Failures in a row after which an upstream is passed over, and how long until it is tried again. */
const FAILURES = 2;
const PROBE_EVERY = 1000;
const CACHE_SIZE = 10_000;
/** Each costs a socket. */
const MAX_IN_FLIGHT = 1000;

export interface ForwardOptions {
  readonly upstreams: readonly UpstreamAddress[];
  /** Milliseconds per upstream. */
  readonly timeout?: number;
}

interface Upstream {
  readonly address: UpstreamAddress;
  failures: number;
  triedAt: number;
}

/** Why nobody could be asked, in words for `dig` and for status. */
const UNREACHABLE: Answer['ede'] = { code: EDE.NO_REACHABLE_AUTHORITY, text: 'no upstream resolver answers' };
const NO_UPSTREAM: Answer['ede'] = { code: EDE.NO_REACHABLE_AUTHORITY, text: 'no upstream resolver is configured' };

export class Forwarder {
  readonly #upstreams: readonly Upstream[];
  readonly #timeout: number;
  readonly #cache = new ResponseCache(CACHE_SIZE);
  readonly #inFlight = new Map<string, Promise<Answer>>();

  constructor(options: ForwardOptions) {
    this.#upstreams = options.upstreams.map((address) => ({ address, failures: 0, triedAt: 0 }));
    this.#timeout = options.timeout ?? TIMEOUT;
  }

  /** `address#port`, and whether it answered when it was last asked. */
  get upstreams(): { readonly address: string; readonly healthy: boolean }[] {
    return this.#upstreams.map(({ address, failures }) => {
      return { address: `${address.ip}#${address.port}`, healthy: failures < FAILURES };
    });
  }

  readonly handler: Handler = (query) => {
    if (this.#upstreams.length === 0) return failed(RCODE.SERVFAIL, NO_UPSTREAM);
    const key = keyOf(query);
    const known = this.#cache.get(key);
    if (known) return named(known, query);
    // The same question in flight: wait for its answer. This also ends loops: our own question coming back to us asks
    // nothing new, and fails with the first.
    const running = this.#inFlight.get(key) ?? this.#start(key, query);
    return running.then((answer) => named(answer, query));
  };

  #start(key: string, query: Query): Promise<Answer> {
    if (this.#inFlight.size >= MAX_IN_FLIGHT) return Promise.resolve(failed(RCODE.SERVFAIL, UNREACHABLE));
    const running = this.#ask(query).then((answer) => {
      this.#inFlight.delete(key);
      this.#cache.put(key, answer);
      return answer;
    });
    this.#inFlight.set(key, running);
    return running;
  }

  async #ask(query: Query): Promise<Answer> {
    const deadline = performance.now() + DEADLINE;
    let refusal: Answer | undefined;
    for (const upstream of this.#candidates()) {
      const left = deadline - performance.now();
      if (left <= 0) break;
      const message = await this.#tryOne(upstream, query, Math.min(this.#timeout, left));
      if (!message) continue;
      const answer = answerOf(message);
      if (answer.rcode !== RCODE.SERVFAIL && answer.rcode !== RCODE.REFUSED) return answer;
      refusal = answer;
    }
    return refusal ?? failed(RCODE.SERVFAIL, UNREACHABLE);
  }

  async #tryOne(upstream: Upstream, query: Query, timeout: number): Promise<Message | undefined> {
    upstream.triedAt = performance.now();
    try {
      const message = await exchange(upstream.address, query, timeout);
      upstream.failures = 0;
      return message;
    } catch {
      upstream.failures++;
      return undefined;
    }
  }

  /** Those that work, in the order given; else, once in a while, the one that was left alone for longest. */
  #candidates(): Upstream[] {
    const healthy = this.#upstreams.filter((upstream) => upstream.failures < FAILURES);
    const due = this.#upstreams
      .filter((upstream) => upstream.failures >= FAILURES && performance.now() - upstream.triedAt >= PROBE_EVERY)
      .sort((a, b) => a.triedAt - b.triedAt)
      .slice(0, 1);
    return [...healthy, ...due];
  }
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

export interface UpstreamPolicy {
  /** Our own addresses: a question sent there would come back. */
  readonly dnsIPs: readonly string[];
  /** Ranges that are reached from the node's own namespace. */
  readonly nodeCIDRs: readonly CIDR[];
  /** The namespace for all other upstreams; absent: the thread's own. */
  readonly netns?: string | undefined;
}

/** `address` or `address#port` as configured; what is no address, or is ourselves, is left out and reported. */
export function parseUpstreams(
  texts: readonly string[],
  policy: UpstreamPolicy,
): { upstreams: UpstreamAddress[]; refused: string[] } {
  const upstreams: UpstreamAddress[] = [];
  const refused: string[] = [];
  for (const text of texts) {
    const [ip = '', portText = '53'] = text.split('#');
    const port = Number(portText);
    const valid = isIP(ip) && Number.isInteger(port) && port > 0 && port < 65536;
    if (!valid || (policy.dnsIPs.includes(ip) && port === 53)) {
      refused.push(text);
      continue;
    }
    const near = policy.nodeCIDRs.some((cidr) => prefixContains(cidr, ip));
    upstreams.push({ ip, port, ...(policy.netns !== undefined && !near && { netns: policy.netns }) });
  }
  return { upstreams, refused };
}
