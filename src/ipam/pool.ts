// Room ipam: the addresses of one prefix: handed out in turn, and given back to rest at the end of the line.
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import { type CIDR, indexInPrefix, nthAddress, parsePrefix, prefixSize } from '../addr/prefix.ts';
import { Fault } from '../observe/fault.ts';

/** Addresses of an IPv6 prefix beyond this many are left alone. */
const MOST = 1 << 24;

export class AddressPool {
  readonly #cidr: CIDR;
  readonly #family: Family;
  readonly #used = new Set<number>();
  /** Given back, oldest first: caches and connections of the last owner get the longest time to end that there is. */
  readonly #resting = new Map<number, number>();
  readonly #restMs: number;
  readonly #first: number;
  readonly #last: number;
  #cursor: number;
  /** How many places the cursor has still to pass before it has seen all. */
  #unseen: number;

  /** `restMs`: how long one that was given back is kept from others. */
  constructor(cidr: CIDR, restMs = 0) {
    this.#cidr = cidr;
    this.#restMs = restMs;
    this.#family = parsePrefix(cidr).family;
    const size = Number(prefixSize(cidr));
    // The network address stands for the node's tunnel end; IPv4's last one is the broadcast address.
    this.#first = size > 1 ? 1 : 0;
    this.#last = Math.min(size, MOST) - (this.#family === 4 && size > 2 ? 2 : 1);
    this.#cursor = this.#first;
    this.#unseen = this.#last - this.#first + 1;
  }

  /** Marks a known address as used, and goes on behind it. False when it is outside, or used. */
  take(ip: IP): boolean {
    const index = this.#indexOf(ip);
    if (index < this.#first || index > this.#last || this.#used.has(index)) return false;
    this.#resting.delete(index);
    this.#used.add(index);
    this.#cursor = index === this.#last ? this.#first : index + 1;
    return true;
  }

  /** Whether next() would find one, at rest or not. */
  get hasFree(): boolean {
    return this.#used.size <= this.#last - this.#first;
  }

  /**
   * One that was never used in this run, else the one that has rested longest: amortised constant time. `now` in milliseconds, as
   * in give(). Throws a Fault.
   */
  next(now = 0): IP {
    const index = this.#fresh() ?? this.#longestResting(now);
    this.#resting.delete(index);
    this.#used.add(index);
    return nthAddress(this.#cidr, index);
  }

  #fresh(): number | undefined {
    while (this.#unseen > 0) {
      this.#unseen--;
      const index = this.#cursor;
      this.#cursor = index === this.#last ? this.#first : index + 1;
      if (!this.#used.has(index) && !this.#resting.has(index)) return index;
    }
    return undefined;
  }

  #longestResting(now: number): number {
    const full = `no free address in ${this.#cidr}: ${this.#used.size} pods have one`;
    const mend = 'delete pods on this node, or give nodes a larger pod prefix';
    const [oldest] = this.#resting;
    if (!oldest) throw new Fault(full, { mend });
    const [index, since] = oldest;
    const wait = Math.min(since + this.#restMs - now, this.#restMs);
    if (wait <= 0) return index;
    throw new Fault(`${full}, and the next one rests for another ${Math.ceil(wait / 1000)} s`, { mend });
  }

  /** Others get it when it has rested. */
  give(ip: IP, now = 0): void {
    const index = this.#indexOf(ip);
    if (this.#used.delete(index)) this.#resting.set(index, now);
  }

  /** It was given back in an earlier run; call in the order of time. */
  rest(ip: IP, since: number): void {
    const index = this.#indexOf(ip);
    if (index >= this.#first && index <= this.#last && !this.#used.has(index)) this.#resting.set(index, since);
  }

  #indexOf(ip: IP): number {
    return familyOf(ip) === this.#family ? Number(indexInPrefix(this.#cidr, ip) ?? -1n) : -1;
  }
}
