// Room dns: what the server counts: questions, answers by code, sizes, and how long they took.
import { Histogram } from '../observe/histogram.ts';
import { rcodeName } from '../wire/dns/message.ts';
import { typeName } from '../wire/dns/text.ts';

export type DnsProtocol = 'udp' | 'tcp';
export type DnsFamily = 'v4' | 'v6';

/** What answers are told apart by. */
export interface AnswerKind {
  readonly protocol: DnsProtocol;
  /** Of the question. */
  readonly type: number;
  readonly rcode: number;
  /** The asker wants DNSSEC records (DO). */
  readonly dnssecOk: boolean;
  /** Who answered, by the name of CoreDNS's plugin that would have; empty: the server itself. */
  readonly plugin: string;
}

/** Answers of one kind, by the family over which they went. */
export interface Tally {
  readonly protocol: DnsProtocol;
  /** `A`, `SRV` …; `other` for what nobody asks for. */
  readonly type: string;
  readonly rcode: string;
  readonly dnssecOk: boolean;
  readonly plugin: string;
  v4: number;
  v6: number;
}

export interface Counter {
  count: number;
}

export interface DnsCounts {
  readonly queries: Readonly<Record<DnsProtocol, number>>;
  /** Packets that deserved no answer. */
  readonly dropped: number;
  /** `NOERROR`, `NXDOMAIN` … to how many. */
  readonly rcodes: Readonly<Record<string, number>>;
  /** Milliseconds from packet to answer, within a factor of two. */
  readonly latency: { readonly p50: number; readonly p99: number };
}

/** CoreDNS's buckets of seconds are 0.00025 x 2^n up to 8.192; here they begin finer. */
export const LATENCY_BOUNDS = Array.from({ length: 24 }, (_, n) => 250e-6 * 2 ** (n - 8));
/** CoreDNS's own: an upstream is never faster. */
export const UPSTREAM_BOUNDS = LATENCY_BOUNDS.slice(8);
/** As CoreDNS has them for changes of endpoints: 0.001 x 2^n seconds. */
const PROGRAMMING_BOUNDS = Array.from({ length: 20 }, (_, n) => 1e-3 * 2 ** n);
/** CoreDNS's buckets of bytes. */
export const SIZE_BOUNDS = [100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000];

export class DnsStats {
  readonly #tallies = new Map<string, Tally>();
  /** Seconds from a packet's arrival to its answer. */
  readonly latency = new Histogram(LATENCY_BOUNDS);
  readonly requestSizes = { udp: new Histogram(SIZE_BOUNDS), tcp: new Histogram(SIZE_BOUNDS) };
  readonly responseSizes = { udp: new Histogram(SIZE_BOUNDS), tcp: new Histogram(SIZE_BOUNDS) };
  /** Seconds from a change of a headless Service's endpoints to its names. */
  readonly programming = new Histogram(PROGRAMMING_BOUNDS);
  /** Search lists that were walked to their end. */
  autopaths = 0;
  /** Questions over which the server stumbled. */
  panics = 0;
  #dropped = 0;

  dropped(): void {
    this.#dropped++;
  }

  /** The one that counts answers of this kind. */
  tally({ protocol, type, rcode, dnssecOk, plugin }: AnswerKind): Tally {
    // Who asks for all 65,536 types does not make as many series.
    const name = typeName(type).replace(/^TYPE\d+$/, 'other');
    const key = `${protocol} ${name} ${rcode} ${dnssecOk} ${plugin}`;
    let tally = this.#tallies.get(key);
    if (!tally) {
      tally = { protocol, type: name, rcode: rcodeName(rcode), dnssecOk, plugin, v4: 0, v6: 0 };
      this.#tallies.set(key, tally);
    }
    return tally;
  }

  get tallies(): Iterable<Tally> {
    return this.#tallies.values();
  }

  get droppedCount(): number {
    return this.#dropped;
  }

  snapshot(): DnsCounts {
    const queries = { udp: 0, tcp: 0 };
    const rcodes: Record<string, number> = {};
    for (const { protocol, rcode, v4, v6 } of this.#tallies.values()) {
      queries[protocol] += v4 + v6;
      rcodes[rcode] = (rcodes[rcode] ?? 0) + v4 + v6;
    }
    const milliseconds = (share: number) => this.latency.quantile(share) * 1000;
    return {
      queries,
      dropped: this.#dropped,
      rcodes,
      latency: { p50: milliseconds(0.5), p99: milliseconds(0.99) },
    };
  }
}
