// Room ipam: which sandbox has which addresses of the node's prefixes, kept in files so that a restart knows it again.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { IP } from '../addr/ip.ts';
import type { CIDR } from '../addr/prefix.ts';
import { AddressPool } from './pool.ts';
import { RestingFiles } from './resting.ts';

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

export interface LeasesOptions {
  /** Directory of our own: one file for each sandbox. */
  readonly dir: string;
  readonly cidrs: readonly CIDR[];
  /** How long a released address is kept from other sandboxes, and a directory of our own for when that began; absent: it is only the last to be given again. */
  readonly rest?: { readonly dir: string; readonly seconds: number };
  readonly bootId?: string;
  /** Milliseconds; for tests. */
  readonly now?: () => number;
}

export class Leases {
  readonly #dir: string;
  readonly #pools: readonly AddressPool[];
  readonly #bootId: string;
  readonly #now: () => number;
  readonly #resting: RestingFiles | undefined;
  readonly #leases = new Map<string, Lease>();

  /** Reads what the last run left; leases of an earlier boot, or that cannot be read, are dropped. */
  constructor({ dir, cidrs, rest, bootId, now = Date.now }: LeasesOptions) {
    this.#dir = dir;
    this.#now = now;
    this.#bootId = bootId ?? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const restMs = 1000 * (rest?.seconds ?? 0);
    this.#pools = cidrs.map((cidr) => new AddressPool(cidr, restMs));
    mkdirSync(dir, { recursive: true });
    this.#load();
    this.#resting = rest && new RestingFiles(rest.dir, restMs, now());
    for (const [ip, since] of this.#resting?.since ?? []) for (const pool of this.#pools) pool.rest(ip, since);
  }

  #load(): void {
    const found = readdirSync(this.#dir).map((file) => [file, this.#read(file)] as const);
    found.sort(([, a], [, b]) => (a?.leasedAt ?? '').localeCompare(b?.leasedAt ?? ''));
    for (const [file, lease] of found) {
      if (lease && this.#take(lease)) this.#leases.set(lease.sandboxId, lease);
      else rmSync(`${this.#dir}/${file}`, { force: true });
    }
  }

  #read(file: string): Lease | undefined {
    if (!file.endsWith('.json')) return undefined;
    try {
      const lease = JSON.parse(readFileSync(`${this.#dir}/${file}`, 'utf8')) as Lease;
      const whole = `${lease.sandboxId}.json` === file && lease.ips.length === this.#pools.length;
      return whole && lease.bootId === this.#bootId ? lease : undefined;
    } catch {
      return undefined;
    }
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
      this.#write(lease);
      this.#leases.set(sandboxId, lease);
      for (const ip of ips) this.#resting?.drop(ip);
      return lease;
    } catch (error) {
      for (const ip of ips) this.#give(ip);
      throw error;
    }
  }

  #write(lease: Lease): void {
    const file = `${this.#dir}/${lease.sandboxId}.json`;
    writeFileSync(`${file}.new`, JSON.stringify(lease));
    renameSync(`${file}.new`, file);
  }

  /** Its addresses rest before another pod gets them. Succeeds when there is no lease. */
  release(sandboxId: string): void {
    const lease = this.#leases.get(sandboxId);
    if (!lease) return;
    for (const ip of lease.ips) this.#resting?.put(ip, this.#now());
    rmSync(`${this.#dir}/${sandboxId}.json`, { force: true });
    this.#leases.delete(sandboxId);
    for (const ip of lease.ips) this.#give(ip);
  }
}
