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
  readonly #resting = new Set<number>();
  readonly #first: number;
  readonly #last: number;
  #cursor: number;
  /** How many places the cursor has still to pass before it has seen all. */
  #unseen: number;

  constructor(cidr: CIDR) {
    this.#cidr = cidr;
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
    if (familyOf(ip) !== this.#family) return false;
    const index = Number(indexInPrefix(this.#cidr, ip) ?? -1n);
    if (index < this.#first || index > this.#last || this.#used.has(index)) return false;
    this.#resting.delete(index);
    this.#used.add(index);
    this.#cursor = index === this.#last ? this.#first : index + 1;
    return true;
  }

  /** Whether next() would find one. */
  get hasFree(): boolean {
    return this.#used.size <= this.#last - this.#first;
  }

  /** One that was never used in this run, else the one that has rested longest: amortised constant time. */
  next(): IP {
    const index = this.#fresh() ?? this.#longestResting();
    if (index === undefined) {
      throw new Fault(`no free address in ${this.#cidr}: ${this.#used.size} pods have one`, {
        mend: 'delete pods on this node, or give nodes a larger pod prefix',
      });
    }
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

  #longestResting(): number | undefined {
    const [oldest] = this.#resting.keys();
    return oldest;
  }

  give(ip: IP): void {
    if (familyOf(ip) !== this.#family) return;
    const index = Number(indexInPrefix(this.#cidr, ip) ?? -1n);
    if (this.#used.delete(index)) this.#resting.add(index);
  }
}
