// Room controllers: who holds which load balancer address, and who may share one.
import type { IP } from '../../addr/ip.ts';

/** What decides whether a Service may be on an address beside others. */
export interface Holder {
  /** `namespace/name` */
  readonly key: string;
  /** `TCP/80` */
  readonly ports: readonly string[];
  /** Of podwire.io/allow-shared-ip; undefined: it shares with nobody. */
  readonly sharingKey: string | undefined;
  /** Services that need traffic on the nodes of their own endpoints share only with those that have the same endpoints: their selector; '' where any node does. */
  readonly placement: string;
}

export class AddressBook {
  readonly #holders = new Map<IP, Map<string, Holder>>();
  readonly #addresses = new Map<string, readonly IP[]>();

  /** Why the address cannot be given to the Service; undefined when it can. */
  refusal(ip: IP, wish: Holder): string | undefined {
    for (const holder of this.#holders.get(ip)?.values() ?? []) {
      if (holder.key === wish.key) continue;
      const why = whyNotBeside(holder, wish);
      if (why !== undefined) return `${ip} is Service ${holder.key}'s${why}`;
    }
    return undefined;
  }

  isFree(ip: IP): boolean {
    return !this.#holders.has(ip);
  }

  /** Addresses on which Services with this key already share. */
  *sharedBy(sharingKey: string): Generator<IP> {
    for (const [ip, holders] of this.#holders) {
      for (const holder of holders.values()) {
        if (holder.sharingKey !== sharingKey) continue;
        yield ip;
        break;
      }
    }
  }

  of(key: string): readonly IP[] {
    return this.#addresses.get(key) ?? [];
  }

  addresses(): Iterable<IP> {
    return this.#holders.keys();
  }

  /** In the place of what the Service had. Returns what is nobody's any more. */
  assign(holder: Holder, ips: readonly IP[]): IP[] {
    const freed = this.#drop(holder.key, new Set(ips));
    for (const ip of ips) {
      const holders = this.#holders.get(ip) ?? new Map<string, Holder>();
      this.#holders.set(ip, holders.set(holder.key, holder));
    }
    this.#addresses.set(holder.key, ips);
    return freed;
  }

  release(key: string): IP[] {
    const freed = this.#drop(key, new Set());
    this.#addresses.delete(key);
    return freed;
  }

  #drop(key: string, but: ReadonlySet<IP>): IP[] {
    const freed: IP[] = [];
    for (const ip of this.of(key)) {
      const holders = this.#holders.get(ip);
      if (but.has(ip) || !holders?.delete(key)) continue;
      if (holders.size > 0) continue;
      this.#holders.delete(ip);
      freed.push(ip);
    }
    return freed;
  }
}

function whyNotBeside(holder: Holder, wish: Holder): string | undefined {
  if (wish.sharingKey === undefined || holder.sharingKey !== wish.sharingKey) return '';
  const port = wish.ports.find((each) => holder.ports.includes(each));
  if (port !== undefined) return `, with which it would share port ${port}`;
  if (holder.placement === wish.placement) return undefined;
  return ', and with externalTrafficPolicy Local an address is shared only by Services of one selector';
}
