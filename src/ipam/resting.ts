// Room ipam: since when given-back addresses rest, kept in files: an agent that dies must not give one out too early.
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { type IP, isIP } from '../addr/ip.ts';

/** One empty file an address; its time of change says since when. Those that have rested enough are forgotten. */
export class RestingFiles {
  readonly #dir: string;
  readonly #restMs: number;
  /** Oldest first. Milliseconds since the epoch. */
  readonly #since = new Map<IP, number>();

  /** Reads what the last run left. */
  constructor(dir: string, restMs: number, now: number) {
    this.#dir = dir;
    this.#restMs = restMs;
    mkdirSync(dir, { recursive: true });
    const found = readdirSync(dir).map((file) => [file, statSync(join(dir, file)).mtimeMs] as const);
    for (const [file, since] of found.toSorted(([, a], [, b]) => a - b)) {
      // A clock that was set back must not make an address rest for years.
      if (isIP(file)) this.#since.set(file, Math.min(since, now));
    }
    this.#sweep(now);
  }

  get since(): ReadonlyMap<IP, number> {
    return this.#since;
  }

  put(ip: IP, now: number): void {
    this.#sweep(now);
    if (this.#restMs === 0) return;
    this.#since.delete(ip);
    this.#since.set(ip, now);
    const path = join(this.#dir, ip);
    closeSync(openSync(path, 'w'));
    utimesSync(path, now / 1000, now / 1000);
  }

  /** It is in use again. */
  drop(ip: IP): void {
    if (this.#since.delete(ip)) rmSync(join(this.#dir, ip), { force: true });
  }

  #sweep(now: number): void {
    for (const [ip, since] of this.#since) {
      if (since + this.#restMs > now) return;
      this.drop(ip);
    }
  }
}
