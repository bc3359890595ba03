// Room lb: how long nobody can connect: a client that connects every few milliseconds, and the longest time without success.
import { createConnection } from 'node:net';
import type { IP } from '../addr/ip.ts';

export interface Attempt {
  /** Milliseconds by the client's clock. */
  readonly begun: number;
  /** When it was connected; absent: it was refused, or not within the limit. */
  readonly connected?: number;
}

export interface Blackout {
  /** The longest time between two successes, one after the other. Without any blackout it is the client's rhythm. */
  readonly longestGapMs: number;
  readonly attempts: number;
  readonly failed: number;
}

/** Between the first and the last success of these attempts. */
export function blackoutOf(attempts: readonly Attempt[]): Blackout {
  const successes = attempts.flatMap(({ connected }) => connected ?? []).sort((a, b) => a - b);
  const gaps = successes.slice(1).map((at, i) => at - successes[i]!);
  return {
    longestGapMs: Math.round(Math.max(0, ...gaps) * 10) / 10,
    attempts: attempts.length,
    failed: attempts.length - successes.length,
  };
}

const LIMIT_MS = 1000;

/** Connects until it is closed, and closes each connection at once. */
export class ConnectingClient {
  readonly #ip: IP;
  readonly #port: number;
  readonly #timer: NodeJS.Timeout;
  readonly #running = new Set<Promise<void>>();
  #attempts: Attempt[] = [];

  constructor(ip: IP, port: number, everyMs = 10) {
    this.#ip = ip;
    this.#port = port;
    this.#timer = setInterval(() => {
      const attempt = this.#attempt();
      this.#running.add(attempt);
      void attempt.then(() => this.#running.delete(attempt));
    }, everyMs);
  }

  /** Milliseconds by the client's clock. */
  static now(): number {
    return performance.now();
  }

  #attempt(): Promise<void> {
    return new Promise((resolve) => {
      const begun = ConnectingClient.now();
      const socket = createConnection({ host: this.#ip, port: this.#port, noDelay: true });
      const end = (connected?: number) => {
        clearTimeout(limit);
        this.#attempts.push({ begun, ...(connected !== undefined && { connected }) });
        // A reset, so that a thousand connections leave no thousand of TIME_WAIT.
        socket.resetAndDestroy();
        resolve();
      };
      const limit = setTimeout(end, LIMIT_MS);
      socket.once('connect', () => end(ConnectingClient.now()));
      socket.once('error', () => end());
      socket.on('error', () => {});
    });
  }

  /** How many have connected since that time. */
  successesSince(time: number): number {
    return this.#attempts.filter(({ connected }) => connected !== undefined && connected >= time).length;
  }

  /** What was tried since the last asking. */
  take(): Attempt[] {
    const taken = this.#attempts;
    this.#attempts = taken.filter(({ connected }) => connected !== undefined).slice(-1);
    return taken;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }
}
