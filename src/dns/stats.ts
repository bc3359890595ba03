// Room dns: what the server counts: questions, answers by code, and how long they took.
import { rcodeName } from '../wire/dns/message.ts';

export type DnsProtocol = 'udp' | 'tcp';

export interface DnsCounts {
  readonly queries: Readonly<Record<DnsProtocol, number>>;
  /** Packets that deserved no answer. */
  readonly dropped: number;
  /** `NOERROR`, `NXDOMAIN` … to how many. */
  readonly rcodes: Readonly<Record<string, number>>;
  /** Milliseconds from packet to answer, within a factor of two. */
  readonly latency: { readonly p50: number; readonly p99: number };
}

/** Bucket n counts what took less than 2^n microseconds. */
const BUCKETS = 24;

export class DnsStats {
  readonly #queries: Record<DnsProtocol, number> = { udp: 0, tcp: 0 };
  readonly #rcodes = new Map<number, number>();
  readonly #latency = new Array<number>(BUCKETS).fill(0);
  #dropped = 0;

  dropped(): void {
    this.#dropped++;
  }

  /** `milliseconds` from the packet's arrival to its answer. */
  answered(protocol: DnsProtocol, rcode: number, milliseconds: number): void {
    this.#queries[protocol]++;
    this.#rcodes.set(rcode, (this.#rcodes.get(rcode) ?? 0) + 1);
    const bucket = Math.min(BUCKETS - 1, Math.ceil(Math.log2(Math.max(1, milliseconds * 1000))));
    this.#latency[bucket]!++;
  }

  snapshot(): DnsCounts {
    return {
      queries: { ...this.#queries },
      dropped: this.#dropped,
      rcodes: Object.fromEntries([...this.#rcodes].map(([rcode, count]) => [rcodeName(rcode), count])),
      latency: { p50: this.#percentile(0.5), p99: this.#percentile(0.99) },
    };
  }

  #percentile(share: number): number {
    const total = this.#latency.reduce((sum, count) => sum + count, 0);
    let seen = 0;
    for (const [bucket, count] of this.#latency.entries()) {
      seen += count;
      if (total > 0 && seen >= total * share) return 2 ** bucket / 1000;
    }
    return 0;
  }
}
