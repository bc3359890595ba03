// Room node: what others delete or change of the node's network comes back within a second, and the log says what it was.
import { identityOf, satisfies } from '../kernel/identity.ts';
import type { LinkItem } from '../kernel/items.ts';
import { type Kernel, KernelError, type KernelPart } from '../kernel/kernel.ts';
import { type LinkWatch, watchLinks } from '../kernel/link-watch.ts';
import { logger } from '../observe/log.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';

const log = logger('network');

export interface DriftParts {
  readonly nodeName: string;
  readonly reconciler: Reconciler;
  readonly kernel: Pick<Kernel, 'nftDisturbed'>;
  /** Path of the node's namespace; absent: the calling thread's. */
  readonly netns?: string;
  /** Told in place of the log. */
  readonly onRepaired?: (repaired: readonly string[]) => void;
}

/** nftables tells nobody cheaply (a listener makes loads ten times slower): its generation is asked for. */
const NFT_LOOK_MS = 400;
/** What is deleted with one command comes as many messages. */
const GATHER_MS = 20;
const SHORTEST_GAP_MS = 250;
/** Whoever keeps changing what we keep mending gets at most this part of our time. */
const SHARE = 20;

export function watchDrift(parts: DriftParts): { close(): void } {
  return new DriftWatch(parts);
}

class DriftWatch {
  readonly #parts: DriftParts;
  readonly #links: LinkWatch;
  readonly #looking: NodeJS.Timeout;
  readonly #touched = new Set<string>();
  readonly #due = new Map<KernelPart, NodeJS.Timeout>();
  readonly #notBefore = { links: 0, nft: 0 };
  #problem: string | undefined;

  constructor(parts: DriftParts) {
    this.#parts = parts;
    const listener = {
      onItem: (item: LinkItem, gone: boolean) => this.#hear(item, gone),
      onUnclear: () => this.#schedule('links'),
    };
    this.#links = watchLinks(listener, parts.netns);
    parts.kernel.nftDisturbed();
    this.#looking = setInterval(() => this.#lookAtNft(), NFT_LOOK_MS).unref();
  }

  /** What we do ourselves is heard too: it is as the plan wants it, or in no plan any more. */
  #hear(item: LinkItem, gone: boolean): void {
    const identity = identityOf(item);
    const want = this.#parts.reconciler.wanted(identity);
    if (!want || (!gone && holds(item, want))) return;
    this.#touched.add(identity);
    this.#schedule('links');
  }

  #lookAtNft(): void {
    try {
      if (this.#parts.kernel.nftDisturbed()) this.#schedule('nft');
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      log.warn({ node: this.#parts.nodeName, err: error }, 'the generation of nftables could not be read');
    }
  }

  #schedule(part: KernelPart): void {
    if (this.#due.has(part)) return;
    const wait = Math.max(part === 'links' ? GATHER_MS : 0, this.#notBefore[part] - performance.now());
    this.#due.set(part, setTimeout(() => this.#repair(part), wait).unref());
  }

  #repair(part: KernelPart): void {
    this.#due.delete(part);
    const touched = new Set(part === 'links' ? this.#touched : []);
    if (part === 'links') this.#touched.clear();
    const started = performance.now();
    try {
      const repaired = this.#parts.reconciler.repair({ part, touched });
      if (repaired.length > 0) this.#tell(repaired);
      this.#problem = undefined;
    } catch (error) {
      // The reconciler tries again by itself, and what stands in the way is said once.
      const problem = String(error);
      const message = 'kernel state changed by others could not be repaired yet';
      if (problem !== this.#problem) log.warn({ node: this.#parts.nodeName, err: error }, message);
      this.#problem = problem;
    }
    const end = performance.now();
    this.#notBefore[part] = end + Math.max(SHORTEST_GAP_MS, (end - started) * SHARE);
  }

  #tell(repaired: readonly string[]): void {
    const { nodeName: node, onRepaired } = this.#parts;
    if (onRepaired) onRepaired(repaired);
    else log.warn({ node, repaired }, 'kernel state that others had changed is repaired');
  }

  close(): void {
    clearInterval(this.#looking);
    for (const timer of this.#due.values()) clearTimeout(timer);
    this.#links.close();
  }
}

/** A link that we only set up may be of any kind. */
function holds(item: LinkItem, want: NonNullable<ReturnType<Reconciler['wanted']>>): boolean {
  if (item.kind === 'link' && want.kind === 'link' && want.type.kind === 'existing')
    return item.up === want.up && item.mtu === want.mtu;
  return satisfies(item, want);
}
