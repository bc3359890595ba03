// Room ipam: leases of one network kept in files, for programs that live as long as one request: who holds which address.
import { join } from 'node:path';
import { type IP, isIP } from '../addr/ip.ts';
import { Fault } from '../observe/fault.ts';
import { type AddressRange, inRange, isReserved, type Reserved, rangeSize, roundFrom } from './range.ts';
import { type Changes, currentBoot, type RecordFile, RecordFiles } from './record-file.ts';
import { syncAll } from './state-file.ts';

/**
 * Records in `leases.jsonl` of the network's directory:
 * - `<containerID>@<ifname>`: the lease.
 * - an address: the name of its lease, or since when it rests (milliseconds since 1970).
 * - `last <range>`: the address that the range gave last. The search goes on behind it.
 */
export type LeaseRecord = FileLease | string | number;

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
  /** Of whoever asks again and again. */
  readonly files?: RecordFiles;
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
  readonly #path: string;
  readonly #file: RecordFile<LeaseRecord>;

  constructor(options: FileLeasesOptions) {
    this.#options = options;
    this.#bootId = options.bootId ?? currentBoot();
    this.#now = options.now ?? Date.now;
    this.#path = join(options.dir, 'leases.jsonl');
    this.#file = (options.files ?? new RecordFiles(this.#bootId)).at(this.#path);
  }

  /** The holder's addresses: those that it has, or new ones, one of each range set. Throws NoAddress. */
  lease(holder: Holder & { readonly pod: string; readonly netns: string }, wanted: Wanted): FileLease {
    const lease = this.#file.locked(
      (records, write): FileLease => {
        const book = new Book(records, this.#options.rest, this.#now());
        const known = book.lease(holderKey(holder));
        if (known) return known;
        const { ips, last } = choose(book, wanted);
        const { containerID, ifname, pod, netns } = holder;
        const leasedAt = new Date(this.#now()).toISOString();
        const made = { containerID, ifname, ips, pod, netns, bootId: this.#bootId, leasedAt };
        const key = holderKey(holder);
        write({ [key]: made, ...Object.fromEntries(ips.map((ip) => [ip, key])), ...last });
        return made;
      },
      (record) => typeof record === 'number' && record + this.#options.rest <= this.#now(),
    );
    // Outside the lock: two hundred containers at once wait for the disk together, not one after the other.
    const { sync = syncAll } = this.#options;
    sync([this.#path]);
    return lease;
  }

  /** Its addresses rest. Succeeds when there is no lease. Returns what was released. */
  release(holder: Holder): readonly IP[] {
    if (!this.get(holder)) return [];
    return this.#file.locked((records, write) => {
      const lease = new Book(records, 0, 0).lease(holderKey(holder));
      if (lease) write(this.#released(lease));
      return lease?.ips ?? [];
    });
  }

  #released(lease: FileLease): Changes<LeaseRecord> {
    return { [holderKey(lease)]: null, ...Object.fromEntries(lease.ips.map((ip) => [ip, this.#now()])) };
  }

  /** Releases all leases of which `keep` says no, and forgets addresses that have rested enough. Returns what was released. */
  collect(keep: (lease: FileLease) => boolean): FileLease[] {
    if (this.#file.read().size === 0) return [];
    return this.#file.locked((records, write) => {
      const gone = leasesOf(records).filter((lease) => !keep(lease));
      for (const lease of gone) write(this.#released(lease));
      const rested = [...records].filter(
        ([, since]) => typeof since === 'number' && since + this.#options.rest <= this.#now(),
      );
      if (rested.length > 0) write(Object.fromEntries(rested.map(([ip]) => [ip, null])));
      return gone;
    });
  }

  /** Undefined also when the lease is of an earlier boot. */
  get(holder: Holder): FileLease | undefined {
    return this.#book().lease(holderKey(holder));
  }

  holderOf(ip: IP): FileLease | undefined {
    return this.#book().holderOf(ip);
  }

  all(): FileLease[] {
    return leasesOf(this.#file.read());
  }

  /** Addresses that were released and are not given out yet. */
  resting(): { readonly ip: IP; readonly since: number }[] {
    return [...this.#file.read()].flatMap(([ip, since]) =>
      typeof since === 'number' && isIP(ip) && since + this.#options.rest > this.#now() ? [{ ip, since }] : [],
    );
  }

  /** Whether the next lease would find an address of every set. */
  hasFree({ rangeSets, reserved }: Wanted): boolean {
    const book = this.#book();
    return rangeSets.every((ranges) =>
      ranges.some((range) => {
        // More addresses than containers there can be.
        if (rangeSize(range) > 1n << 24n) return true;
        for (const ip of roundFrom(range, book.last(range))) {
          if (ip !== range.gateway && !isReserved(reserved, ip) && book.stateOf(ip) === 'free') return true;
        }
        return false;
      }),
    );
  }

  #book(): Book {
    return new Book(this.#file.read(), this.#options.rest, this.#now());
  }
}

/** The records at one moment. */
class Book {
  readonly #records: ReadonlyMap<string, LeaseRecord>;
  readonly #rest: number;
  readonly #now: number;

  constructor(records: ReadonlyMap<string, LeaseRecord>, rest: number, now: number) {
    this.#records = records;
    this.#rest = rest;
    this.#now = now;
  }

  lease(key: string): FileLease | undefined {
    const record = this.#records.get(key);
    return isLease(record) ? record : undefined;
  }

  holderOf(ip: IP): FileLease | undefined {
    const record = this.#records.get(ip);
    return typeof record === 'string' ? this.lease(record) : undefined;
  }

  /** A number: for so many milliseconds it still rests. */
  stateOf(ip: IP): 'free' | 'held' | number {
    const record = this.#records.get(ip);
    if (typeof record !== 'number') return this.holderOf(ip) ? 'held' : 'free';
    const left = record + this.#rest - this.#now;
    return left > 0 ? left : 'free';
  }

  last(range: AddressRange): IP | undefined {
    const record = this.#records.get(lastKey(range));
    return typeof record === 'string' ? record : undefined;
  }
}

function isLease(record: LeaseRecord | undefined): record is FileLease {
  return typeof record === 'object';
}

function leasesOf(records: ReadonlyMap<string, LeaseRecord>): FileLease[] {
  return [...records.values()].filter(isLease);
}

function lastKey({ first, last }: AddressRange): string {
  return `last ${first}-${last}`;
}

/** Throws NoAddress. */
function choose(book: Book, { rangeSets, reserved, requested }: Wanted): { ips: IP[]; last: Record<string, IP> } {
  const last: Record<string, IP> = {};
  const ips = rangeSets.map((ranges) => {
    const asked = requested.filter((ip) => ranges.some((range) => inRange(range, ip)));
    if (asked.length > 1) throw new NoAddress(`${asked.join(' and ')} are of one range set, which gives one address`);
    return asked[0] ? takeAsked(book, asked[0], ranges) : takeNext(book, ranges, reserved, last);
  });
  const stray = requested.find((ip) => !ips.includes(ip));
  if (stray) throw new NoAddress(`the requested address ${stray} is in no range of this network`);
  return { ips, last };
}

function takeAsked(book: Book, ip: IP, ranges: readonly AddressRange[]): IP {
  if (ranges.some((range) => range.gateway === ip)) throw new NoAddress(`the requested address ${ip} is the gateway's`);
  const holder = book.holderOf(ip);
  // Rest keeps an address from who gets it by chance. Who names it is started again, or takes the place of the one before.
  if (!holder) return ip;
  throw new NoAddress(`the requested address ${ip} is held by container ${holder.containerID}`);
}

function takeNext(book: Book, ranges: readonly AddressRange[], reserved: Reserved, last: Record<string, IP>): IP {
  let held = 0;
  let soonest: number | undefined;
  for (const range of ranges) {
    for (const ip of roundFrom(range, book.last(range))) {
      if (ip === range.gateway || isReserved(reserved, ip)) continue;
      const state = book.stateOf(ip);
      if (state === 'free') {
        last[lastKey(range)] = ip;
        return ip;
      }
      if (state === 'held') held++;
      else soonest = Math.min(soonest ?? state, state);
    }
  }
  const where = ranges.map((range) => `${range.first}-${range.last}`).join(', ');
  const resting = soonest === undefined ? '' : `; the next one has rested enough in ${Math.ceil(soonest / 1000)} s`;
  throw new NoAddress(`no free address in ${where}: ${held} are held${resting}`, soonest);
}
