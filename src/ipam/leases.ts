// Room ipam: which sandbox has which addresses of the node's prefixes, on record so that a restart knows it again.
import { join } from 'node:path';
import type { IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import { AddressPool } from './pool.ts';
import { type Changes, currentBoot, RecordFile } from './record-file.ts';

export interface Lease {
  readonly sandboxId: string;
  /** One per prefix of the node. */
  readonly ips: readonly IP[];
  /** For people: `namespace/name` of the pod. */
  readonly pod: string;
  /** /proc/sys/kernel/random/boot_id: no sandbox outlives the boot in which it was made. */
  readonly bootId: string;
  /** RFC 3339. */
  readonly leasedAt: string;
}

/** By sandbox: its lease; by address: since when it rests (milliseconds since 1970). */
type LeaseRecord = Lease | number;

export interface LeasesOptions {
  /** Of a file of our own. */
  readonly path: string;
  readonly cidrs: readonly CIDR[];
  /** How long a released address is kept from other sandboxes; absent: it is only the last to be given again. */
  readonly restSeconds?: number;
  readonly bootId?: string;
  /** Milliseconds; for tests. */
  readonly now?: () => number;
}

/** Where a node's agent keeps them, in its directory of state. */
export function nodeLeasesPath(nodeDir: string): string {
  return join(nodeDir, 'leases.jsonl');
}

/** Those of the file: for whoever only looks. */
export function leasesAt(path: string): Lease[] {
  return [...new RecordFile<LeaseRecord>(path).read().values()].filter((record) => typeof record === 'object');
}

export class Leases {
  readonly #file: RecordFile<LeaseRecord>;
  readonly #pools: readonly AddressPool[];
  readonly #bootId: string;
  readonly #now: () => number;
  readonly #restMs: number;
  readonly #leases = new Map<string, Lease>();

  /** Reads what the last run left; leases of an earlier boot, or of other prefixes, are dropped. */
  constructor({ path, cidrs, restSeconds = 0, bootId = currentBoot(), now = Date.now }: LeasesOptions) {
    this.#now = now;
    this.#bootId = bootId;
    this.#restMs = 1000 * restSeconds;
    this.#pools = cidrs.map((cidr) => new AddressPool(cidr, this.#restMs));
    this.#file = new RecordFile(path, bootId);
    this.#load();
  }

  #load(): void {
    const records = [...this.#file.read()];
    const leases = records.map(([, record]) => record).filter((record) => typeof record === 'object');
    const dropped: string[] = [];
    for (const lease of leases.toSorted((a, b) => a.leasedAt.localeCompare(b.leasedAt))) {
      if (lease.ips.length === this.#pools.length && this.#take(lease)) this.#leases.set(lease.sandboxId, lease);
      else dropped.push(lease.sandboxId);
    }
    const now = this.#now();
    // A clock that was set back must not make an address rest for years.
    const resting = records.flatMap(([ip, since]) =>
      typeof since === 'number' ? [[ip, Math.min(since, now)] as const] : [],
    );
    for (const [ip, since] of resting.toSorted(([, a], [, b]) => a - b)) {
      if (since + this.#restMs > now) for (const pool of this.#pools) pool.rest(ip, since);
    }
    if (dropped.length > 0) this.#write(Object.fromEntries(dropped.map((sandboxId) => [sandboxId, null])));
  }

  #write(changes: Changes<LeaseRecord>): void {
    this.#file.locked(
      (_, write) => write(changes),
      (record) => typeof record === 'number' && record + this.#restMs <= this.#now(),
    );
  }

  /** False when an address is outside the prefixes (which have changed), or taken by an older lease. */
  #take(lease: Lease): boolean {
    const taken = lease.ips.filter((ip, i) => this.#pools[i]!.take(ip));
    if (taken.length === lease.ips.length) return true;
    for (const ip of taken) this.#give(ip);
    return false;
  }

  #give(ip: IP): void {
    for (const pool of this.#pools) pool.give(ip, this.#now());
  }

  get(sandboxId: string): Lease | undefined {
    return this.#leases.get(sandboxId);
  }

  all(): Lease[] {
    return [...this.#leases.values()];
  }

  /** Whether the next sandbox would get an address of every prefix. */
  get hasFree(): boolean {
    return this.#pools.every((pool) => pool.hasFree);
  }

  /**
   * The sandbox's addresses: those that it has, else `earlier` ones (which the API knows although their lease was lost) where
   * they are free, else new ones. Throws a Fault when a prefix has none left.
   */
  lease(sandboxId: string, pod: string, earlier: readonly IP[] = []): Lease {
    const known = this.#leases.get(sandboxId);
    if (known) return known;
    const ips: IP[] = [];
    try {
      for (const pool of this.#pools) ips.push(earlier.find((ip) => pool.take(ip)) ?? pool.next(this.#now()));
      const leasedAt = new Date(this.#now()).toISOString();
      const lease = { sandboxId, ips, pod, bootId: this.#bootId, leasedAt };
      this.#write({ [sandboxId]: lease, ...(this.#restMs > 0 && Object.fromEntries(ips.map((ip) => [ip, null]))) });
      this.#leases.set(sandboxId, lease);
      return lease;
    } catch (error) {
      for (const ip of ips) this.#give(ip);
      throw error;
    }
  }

  /** Its addresses rest before another pod gets them. Succeeds when there is no lease. */
  release(sandboxId: string): void {
    const lease = this.#leases.get(sandboxId);
    if (!lease) return;
    const resting = this.#restMs > 0 ? Object.fromEntries(lease.ips.map((ip) => [ip, this.#now()])) : {};
    this.#write({ [sandboxId]: null, ...resting });
    this.#leases.delete(sandboxId);
    for (const ip of lease.ips) this.#give(ip);
  }
}
