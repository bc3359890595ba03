// Room dns: the resolvers to which one part of the world is forwarded: which of them work, and which lead back to us.
import { randomBytes } from 'node:crypto';
import { Histogram } from '../observe/histogram.ts';
import type { Logger } from '../observe/log.ts';
import { type Message, type Name, rcodeName, TYPE } from '../wire/dns/message.ts';
import { UPSTREAM_BOUNDS } from './stats.ts';
import { exchange, type UpstreamQuestion } from './upstream.ts';
import { UpstreamCookie } from './upstream-cookie.ts';
import type { UpstreamAddress } from './upstream-socket.ts';

/** Failures in a row after which an upstream is passed over, and milliseconds until it is tried again. */
const FAILURES = 2;
const PROBE_EVERY = 1000;
/** Milliseconds until an upstream is asked again whether it leads back to us. */
const LOOP_CHECK_EVERY = 5000;
const PROBE_TIMEOUT = 2000;

export interface Upstream {
  readonly address: UpstreamAddress;
  /** `address#port` */
  readonly text: string;
  readonly cookie: UpstreamCookie;
  failures: number;
  triedAt: number;
  probing: boolean;
  loopCheckedAt: number;
  looping: boolean;
  /** Settles when it is found that the upstream leads back to us. */
  looped: PromiseWithResolvers<undefined>;
  requests: number;
  timeouts: number;
  /** Seconds to its answers, by their code. */
  readonly durations: Map<string, Histogram>;
}

export interface UpstreamStatus {
  /** `address#port` */
  readonly address: string;
  /** Whether it answered when it was last asked. */
  readonly healthy: boolean;
  /** What it is asked comes back to us. */
  readonly looping: boolean;
}

/**
 * A resolver that forwards to us what we forward to it keeps every question of the outside world turning until it times out
 * (coredns#2087). CoreDNS then ends itself; here such a resolver is left alone, and asked again from time to time.
 */
export class LoopNames {
  readonly #probes = new Map<Name, { readonly upstream: Upstream; came: boolean }>();

  /** Whether the question is one that only we know: then it has come back. */
  caught(lower: Name, type: number): boolean {
    const probe = type === TYPE.HINFO ? this.#probes.get(lower) : undefined;
    if (!probe) return false;
    probe.came = true;
    probe.upstream.looping = true;
    // Whoever waits for this upstream waits for us.
    probe.upstream.looped.resolve(undefined);
    return true;
  }

  /** Asks the upstream for a name that nobody else asks for. */
  async check(upstream: Upstream): Promise<void> {
    const name = `${randomBytes(8).toString('hex')}.${randomBytes(8).toString('hex')}`;
    const probe = { upstream, came: false };
    this.#probes.set(name, probe);
    upstream.looped = Promise.withResolvers();
    const answer = exchange(upstream.address, plain(name, TYPE.HINFO), { timeout: PROBE_TIMEOUT });
    await Promise.race([answer, upstream.looped.promise]).catch(() => {});
    this.#probes.delete(name);
    upstream.looping = probe.came;
  }
}

function plain(name: Name, type: number): UpstreamQuestion {
  return { name, type, recursionDesired: true, dnssecOk: false, checkingDisabled: false };
}

export class UpstreamSet {
  readonly #upstreams: readonly Upstream[];
  readonly #loops: LoopNames;
  readonly #log: Logger;

  constructor(addresses: readonly UpstreamAddress[], loops: LoopNames, log: Logger) {
    this.#loops = loops;
    this.#log = log;
    this.#upstreams = addresses.map((address) => ({
      address,
      text: `${address.ip}#${address.port}`,
      cookie: new UpstreamCookie(),
      failures: 0,
      triedAt: 0,
      probing: false,
      loopCheckedAt: Number.NEGATIVE_INFINITY,
      looping: false,
      looped: Promise.withResolvers(),
      requests: 0,
      timeouts: 0,
      durations: new Map(),
    }));
  }

  get isEmpty(): boolean {
    return this.#upstreams.length === 0;
  }

  get all(): readonly Upstream[] {
    return this.#upstreams;
  }

  get status(): UpstreamStatus[] {
    return this.#upstreams.map((each) => ({ address: each.text, healthy: isUsable(each), looping: each.looping }));
  }

  get looping(): Upstream | undefined {
    return this.#upstreams.find((each) => each.looping);
  }

  /** Whether there is one that has not just failed. */
  get anyUsable(): boolean {
    return this.#upstreams.some(isUsable);
  }

  /**
   * Those that work, in the order given; without one, now and then the one that was left alone for longest. One that failed
   * while others work is tried again on the side: no client waits for it.
   */
  candidates(): Upstream[] {
    const now = performance.now();
    for (const each of this.#upstreams) if (each.looping) this.#checkLoop(each, now);
    const usable = this.#upstreams.filter(isUsable);
    const due = this.#upstreams
      .filter((each) => !each.looping && each.failures >= FAILURES && now - each.triedAt >= PROBE_EVERY)
      .sort((a, b) => a.triedAt - b.triedAt);
    if (usable.length === 0) return due.slice(0, 1);
    for (const each of due) void this.#probe(each);
    return usable;
  }

  /** Undefined when it does not answer in `timeout` milliseconds, or leads back to us. */
  async ask(upstream: Upstream, question: UpstreamQuestion, timeout: number): Promise<Message | undefined> {
    const began = performance.now();
    upstream.triedAt = began;
    upstream.requests++;
    this.#checkLoop(upstream, began);
    try {
      const { address, cookie, looped } = upstream;
      const answer = await Promise.race([exchange(address, question, { timeout, cookie }), looped.promise]);
      if (!answer) return undefined;
      upstream.failures = 0;
      observe(upstream, answer, performance.now() - began);
      return answer;
    } catch {
      upstream.failures++;
      upstream.timeouts++;
      return undefined;
    }
  }

  async #probe(upstream: Upstream): Promise<void> {
    if (upstream.probing) return;
    upstream.probing = true;
    await this.ask(upstream, plain('.', TYPE.NS), PROBE_TIMEOUT);
    upstream.probing = false;
  }

  /** At its first use, and again when it is suspected: it leads back, or does not answer. */
  #checkLoop(upstream: Upstream, now: number): void {
    const first = upstream.loopCheckedAt === Number.NEGATIVE_INFINITY;
    const suspect = upstream.looping || upstream.failures > 0;
    if (!first && !(suspect && now - upstream.loopCheckedAt >= LOOP_CHECK_EVERY)) return;
    upstream.loopCheckedAt = now;
    const before = upstream.looping;
    void this.#loops.check(upstream).then(() => {
      if (upstream.looping === before) return;
      const said = upstream.looping ? 'an upstream resolver leads back to us: it is not asked' : 'no loop any more';
      this.#log.warn({ upstream: upstream.text }, said);
    });
  }
}

function observe({ durations }: Upstream, { rcode }: Message, milliseconds: number): void {
  const name = rcodeName(rcode);
  const histogram = durations.get(name) ?? new Histogram(UPSTREAM_BOUNDS);
  durations.set(name, histogram);
  histogram.observe(milliseconds / 1000);
}

function isUsable({ looping, failures }: Upstream): boolean {
  return !looping && failures < FAILURES;
}
