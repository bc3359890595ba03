// Room ipam: leases of one network kept in files, for programs that live as long as one request: who holds which address.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { type IP, isIP } from '../addr/ip.ts';
import { Fault } from '../observe/fault.ts';
import { withFileLock } from '../sys/flock.ts';
import { type AddressRange, inRange, isReserved, type Reserved, rangeSize, roundFrom } from './range.ts';
import { codeOf, listIfThere, overwriteFile, replaceFile, syncAll } from './state-file.ts';

/**
 * Below the network's directory:
 * - `holders/<containerID>@<ifname>`: the lease, as JSON; whole or not there at all.
 * - `addresses/<ip>`: a symbolic link to its holder, or to `resting-<milliseconds since 1970>`. One whose holder is gone is free.
 * - `last`: the address that each range gave last. Only a hint: the search goes on behind it.
 * - `boot`: the boot in which all this is true. No container outlives it, so at the first request of a new boot all are free.
 */
export interface FileLease {
  readonly containerID: string;
  readonly ifname: string;
  readonly ips: readonly IP[];
  /** For people: `namespace/name` of the pod; empty when the runtime did not say. */
  readonly pod: string;
  /** Path of the network namespace. */
  readonly netns: string;
  readonly bootId: string;
  /** RFC 3339. */
  readonly leasedAt: string;
}

export interface Holder {
  readonly containerID: string;
  readonly ifname: string;
}

export interface Wanted {
  /** One address of each set. */
  readonly rangeSets: readonly (readonly AddressRange[])[];
  readonly reserved: Reserved;
  /** Exactly these, where a range set holds one. */
  readonly requested: readonly IP[];
}

export interface FileLeasesOptions {
  readonly dir: string;
  /** Milliseconds for which a released address is not given to another: until the last caches that know its owner are gone. */
  readonly rest: number;
  readonly bootId?: string;
  readonly now?: () => number;
  /** Sees to it that what is at these paths is on the disk; absent: waits for it. */
  readonly sync?: (paths: readonly string[]) => void;
}

/** No address can be had. `later` is in how many milliseconds one has rested enough; absent when none is resting. */
export class NoAddress extends Fault {
  readonly later: number | undefined;

  constructor(what: string, later?: number) {
    super(what, { mend: 'delete containers of this network, or give it a larger range' });
    this.later = later;
  }
}

export function holderKey({ containerID, ifname }: Holder): string {
  return `${containerID}@${ifname}`;
}

export class FileLeases {
  readonly #options: FileLeasesOptions;
  readonly #bootId: string;
  readonly #now: () => number;

  constructor(options: FileLeasesOptions) {
    this.#options = options;
    this.#bootId = options.bootId ?? currentBoot();
    this.#now = options.now ?? Date.now;
  }

  /** The holder's addresses: those that it has, or new ones, one of each range set. Throws NoAddress. */
  lease(holder: Holder & { readonly pod: string; readonly netns: string }, wanted: Wanted): FileLease {
    const lease = this.#locked((): FileLease => {
      const known = this.get(holder);
      if (known) return known;
      const ips = this.#choose(holder, wanted);
      const { containerID, ifname, pod, netns } = holder;
      const leasedAt = new Date(this.#now()).toISOString();
      const made = { containerID, ifname, ips, pod, netns, bootId: this.#bootId, leasedAt };
      replaceFile(this.#holderPath(holder), JSON.stringify(made));
      return made;
    });
    // Outside the lock: two hundred containers at once wait for the disk together, not one after the other.
    const { sync = syncAll } = this.#options;
    sync([this.#holderPath(holder), this.#path('holders'), this.#path('addresses')]);
    return lease;
  }

  #choose(holder: Holder, { rangeSets, reserved, requested }: Wanted): IP[] {
    const last = this.#readLast();
    const taken: IP[] = [];
    try {
      for (const ranges of rangeSets) {
        const asked = requested.filter((ip) => ranges.some((range) => inRange(range, ip)));
        if (asked.length > 1)
          throw new NoAddress(`${asked.join(' and ')} are of one range set, which gives one address`);
        taken.push(
          asked[0] ? this.#takeAsked(holder, asked[0], ranges) : this.#takeNext(holder, ranges, reserved, last),
        );
      }
      const stray = requested.find((ip) => !taken.includes(ip));
      if (stray) throw new NoAddress(`the requested address ${stray} is in no range of this network`);
    } catch (error) {
      for (const ip of taken) rmSync(this.#addressPath(ip), { force: true });
      throw error;
    }
    overwriteFile(this.#path('last'), JSON.stringify(last));
    return taken;
  }

  #takeAsked(holder: Holder, ip: IP, ranges: readonly AddressRange[]): IP {
    if (ranges.some((range) => range.gateway === ip))
      throw new NoAddress(`the requested address ${ip} is the gateway's`);
    const outcome = this.#take(holder, ip);
    if (outcome === 'taken') return ip;
    const other = this.holderOf(ip);
    throw new NoAddress(
      `the requested address ${ip} ${other ? `is held by container ${other.containerID}` : 'was released a moment ago and rests'}`,
      outcome === 'held' ? undefined : outcome,
    );
  }

  #takeNext(holder: Holder, ranges: readonly AddressRange[], reserved: Reserved, last: Record<string, IP>): IP {
    let held = 0;
    let soonest: number | undefined;
    for (const range of ranges) {
      const key = `${range.first}-${range.last}`;
      for (const ip of roundFrom(range, last[key])) {
        if (ip === range.gateway || isReserved(reserved, ip)) continue;
        const outcome = this.#take(holder, ip);
        if (outcome === 'taken') {
          last[key] = ip;
          return ip;
        }
        if (outcome === 'held') held++;
        else soonest = Math.min(soonest ?? outcome, outcome);
      }
    }
    const where = ranges.map((range) => `${range.first}-${range.last}`).join(', ');
    const resting = soonest === undefined ? '' : `; the next one has rested enough in ${Math.ceil(soonest / 1000)} s`;
    throw new NoAddress(`no free address in ${where}: ${held} are held${resting}`, soonest);
  }

  /** A number: for so many milliseconds it still rests. */
  #take(holder: Holder, ip: IP): 'taken' | 'held' | number {
    const path = this.#addressPath(ip);
    const target = join('..', 'holders', holderKey(holder));
    try {
      symlinkSync(target, path);
      return 'taken';
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const since = restingSince(readlinkSync(path));
    if (since === undefined && existsSync(path)) return 'held';
    const rest = (since ?? 0) + this.#options.rest - this.#now();
    if (rest > 0) return rest;
    rmSync(path);
    symlinkSync(target, path);
    return 'taken';
  }

  /** Its addresses rest. Succeeds when there is no lease. Returns what was released. */
  release(holder: Holder): readonly IP[] {
    if (!existsSync(this.#options.dir)) return [];
    return this.#locked(() => this.#release(holder));
  }

  #release(holder: Holder): readonly IP[] {
    const lease = this.get(holder);
    rmSync(this.#holderPath(holder), { force: true });
    for (const ip of lease?.ips ?? []) {
      const path = this.#addressPath(ip);
      symlinkSync(`resting-${this.#now()}`, `${path}.new`);
      renameSync(`${path}.new`, path);
    }
    return lease?.ips ?? [];
  }

  /** Releases all leases of which `keep` says no, and forgets addresses that have rested enough. Returns what was released. */
  collect(keep: (lease: FileLease) => boolean): FileLease[] {
    if (!existsSync(this.#options.dir)) return [];
    return this.#locked(() => {
      const gone = this.all().filter((lease) => !keep(lease));
      for (const lease of gone) this.#release(lease);
      for (const name of readdirSync(this.#path('addresses'))) {
        const path = join(this.#path('addresses'), name);
        const since = restingSince(readlinkSync(path));
        if (since === undefined ? !existsSync(path) : since + this.#options.rest <= this.#now()) rmSync(path);
      }
      return gone;
    });
  }

  /** Undefined also when the lease is of an earlier boot. */
  get(holder: Holder): FileLease | undefined {
    return this.#read(holderKey(holder));
  }

  holderOf(ip: IP): FileLease | undefined {
    try {
      const target = readlinkSync(this.#addressPath(ip));
      return restingSince(target) === undefined ? this.#read(target.split('/').at(-1)!) : undefined;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  all(): FileLease[] {
    return listIfThere(this.#path('holders')).flatMap((name) => this.#read(name) ?? []);
  }

  /** Addresses that were released and are not given out yet. */
  resting(): { readonly ip: IP; readonly since: number }[] {
    return listIfThere(this.#path('addresses')).flatMap((name) => {
      const since = isIP(name) ? restingSince(readlinkSync(this.#addressPath(name))) : undefined;
      return since === undefined || since + this.#options.rest <= this.#now() ? [] : [{ ip: name, since }];
    });
  }

  /** Whether the next lease would find an address of every set. */
  hasFree({ rangeSets, reserved }: Wanted): boolean {
    return rangeSets.every((ranges) =>
      ranges.some((range) => {
        // More addresses than files there can be.
        if (rangeSize(range) > 1n << 24n) return true;
        for (const ip of roundFrom(range, this.#readLast()[`${range.first}-${range.last}`])) {
          if (ip !== range.gateway && !isReserved(reserved, ip) && this.#isFree(ip)) return true;
        }
        return false;
      }),
    );
  }

  #isFree(ip: IP): boolean {
    try {
      const since = restingSince(readlinkSync(this.#addressPath(ip)));
      return since === undefined ? !this.holderOf(ip) : since + this.#options.rest <= this.#now();
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return true;
      throw error;
    }
  }

  #read(name: string): FileLease | undefined {
    try {
      const lease = JSON.parse(readFileSync(join(this.#path('holders'), name), 'utf8')) as FileLease;
      return lease.bootId === this.#bootId && holderKey(lease) === name ? lease : undefined;
    } catch (error) {
      if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #readLast(): Record<string, IP> {
    try {
      return JSON.parse(readFileSync(this.#path('last'), 'utf8')) as Record<string, IP>;
    } catch {
      return {};
    }
  }

  #locked<T>(fn: () => T): T {
    mkdirSync(this.#options.dir, { recursive: true, mode: 0o700 });
    return withFileLock(this.#path('lock'), () => {
      this.#sweep();
      return fn();
    });
  }

  /** At the first request of a boot: what is left of the one before is nobody's. */
  #sweep(): void {
    if (this.#readBoot() === this.#bootId) return;
    for (const name of ['holders', 'addresses', 'last']) rmSync(this.#path(name), { recursive: true, force: true });
    for (const name of ['holders', 'addresses']) mkdirSync(this.#path(name), { mode: 0o700 });
    replaceFile(this.#path('boot'), this.#bootId);
  }

  #readBoot(): string | undefined {
    try {
      return readFileSync(this.#path('boot'), 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #path(name: string): string {
    return join(this.#options.dir, name);
  }

  #holderPath(holder: Holder): string {
    return join(this.#path('holders'), holderKey(holder));
  }

  #addressPath(ip: IP): string {
    return join(this.#path('addresses'), ip);
  }
}

/** Undefined when the link leads to a holder. */
function restingSince(target: string): number | undefined {
  return target.startsWith('resting-') ? Number(target.slice(8)) : undefined;
}

export function currentBoot(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
