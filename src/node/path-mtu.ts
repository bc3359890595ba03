// Room node: how much the ways to nodes behind a router carry, found by asking: no link of ours tells a router's smaller MTU.
import { setImmediate } from 'node:timers/promises';
import { type Family, familyOf, type IP } from '../addr/ip.ts';
import { prefixContains } from '../addr/prefix.ts';
import { logger } from '../observe/log.ts';
import type { OverlayFacts, RemoteNode } from '../plan/overlay/backend.ts';
import { type Echo, openEcho } from '../sys/echo.ts';
import { largestBelow } from './path-search.ts';

const log = logger('network');
/** How long answers may take, each time that something is asked. */
const WAITS_MS = [200, 400, 800];
/** A node that does not answer is asked again, later and later; a way that is known, when it may have changed: mtu_expires is as long. */
const FIRST_RETRY_MS = 1000;
const AGAIN_MS = 600_000;

export type PathMtus = Readonly<Partial<Record<Family, number>>>;

export interface PathFinderParts {
  readonly facts: Pick<OverlayFacts, 'nodeName' | 'nodeIPs' | 'segmentCIDRs' | 'mtu'>;
  readonly netns?: string;
  /** What is less than the link's own MTU; none when the way carries all of it, or nobody answers. */
  readonly onFound: (node: string, mtus: PathMtus) => void;
}

/** Asks nobody on the node's own segment, whose MTU its link has. */
export class PathFinder {
  readonly #parts: PathFinderParts;
  readonly #echoes = new Map<Family, Echo>();
  readonly #awaited = new Map<number, () => void>();
  readonly #searches = new Map<string, Search>();
  #sequence = 0;

  constructor(parts: PathFinderParts) {
    this.#parts = parts;
  }

  /** Undefined: the node is gone. A node that was away is asked anew. */
  set(name: string, remote: RemoteNode | undefined, isReady: boolean): void {
    const far = (remote?.ips ?? []).filter((ip) => !this.#isNear(ip));
    const key = far.join();
    const before = this.#searches.get(name);
    if (before?.key === key && (before.isReady || !isReady)) {
      before.isReady = isReady;
      return;
    }
    this.#forget(name);
    if (far.length === 0) return;
    const search: Search = { key, isReady, found: {}, retryMs: FIRST_RETRY_MS, timer: undefined };
    this.#searches.set(name, search);
    void this.#search(name, far, search);
  }

  #isNear(ip: IP): boolean {
    return this.#parts.facts.segmentCIDRs.some((cidr) => prefixContains(cidr, ip));
  }

  async #search(name: string, ips: readonly IP[], search: Search): Promise<void> {
    const results = await Promise.all(ips.map(async (ip) => [familyOf(ip), await this.#largest(ip)] as const));
    if (this.#searches.get(name) !== search) return;
    const { mtu, nodeName } = this.#parts.facts;
    const answered = results.every(([, size]) => size > 0);
    const found: PathMtus = Object.fromEntries(results.filter(([, size]) => size > 0 && size < mtu));
    if (JSON.stringify(found) !== JSON.stringify(search.found)) {
      search.found = found;
      const words = Object.entries(found).map(([family, size]) => `IPv${family} ${size}`);
      if (words.length === 0) log.info({ node: nodeName, to: name }, 'the way to a node carries whole packets again');
      else
        log.warn({ node: nodeName, to: name, mtu: words.join(', ') }, 'the way to a node carries less than its link');
      this.#parts.onFound(name, found);
    }
    const wait = answered ? AGAIN_MS : search.retryMs;
    search.retryMs = answered ? FIRST_RETRY_MS : Math.min(AGAIN_MS, search.retryMs * 2);
    search.timer = setTimeout(() => void this.#search(name, ips, search), wait).unref();
  }

  /** Bytes of the largest packet that is answered; 0 when none is. */
  async #largest(to: IP): Promise<number> {
    const { mtu } = this.#parts.facts;
    if ((await this.#answered(to, [mtu])).length > 0) return mtu;
    return largestBelow(mtu, (sizes) => this.#answered(to, sizes));
  }

  async #answered(to: IP, sizes: readonly number[]): Promise<number[]> {
    const answered = new Set<number>();
    for (const wait of WAITS_MS) {
      const all = Promise.withResolvers<void>();
      const sequences = sizes.map((size) => {
        if (answered.has(size)) return 0;
        this.#sequence = (this.#sequence % 0xffff) + 1;
        this.#awaited.set(this.#sequence, () => {
          answered.add(size);
          if (answered.size === sizes.length) all.resolve();
        });
        this.#echo(familyOf(to))?.send(to, size, this.#sequence);
        return this.#sequence;
      });
      const limit = setTimeout(all.resolve, wait).unref();
      await all.promise;
      clearTimeout(limit);
      // After a pause of our own the timer comes before what has arrived long since.
      await setImmediate();
      for (const sequence of sequences) this.#awaited.delete(sequence);
      if (answered.size === sizes.length) break;
    }
    return [...answered];
  }

  #echo(family: Family): Echo | undefined {
    const own = this.#parts.facts.nodeIPs.find((ip) => familyOf(ip) === family);
    if (own === undefined) return undefined;
    const open = this.#echoes.get(family) ?? openEcho(own, this.#parts.netns, (n) => this.#awaited.get(n)?.());
    this.#echoes.set(family, open);
    return open;
  }

  #forget(name: string): void {
    clearTimeout(this.#searches.get(name)?.timer);
    this.#searches.delete(name);
  }

  close(): void {
    for (const name of [...this.#searches.keys()]) this.#forget(name);
    for (const echo of this.#echoes.values()) echo.close();
    this.#echoes.clear();
  }
}

interface Search {
  /** The addresses that are asked. */
  readonly key: string;
  isReady: boolean;
  found: PathMtus;
  retryMs: number;
  timer: NodeJS.Timeout | undefined;
}
