// Room node: what others delete or change of the node's network comes back within a second, and the log says what it was.
import { identityOf, satisfies } from '../kernel/identity.ts';
import type { Link, LinkItem } from '../kernel/items.ts';
import { type Kernel, KernelError, type KernelPart } from '../kernel/kernel.ts';
import { type FarEnd, type LinkWatch, watchLinks } from '../kernel/link-watch.ts';
import { readSysctl } from '../kernel/sysctls.ts';
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

/** nftables tells nobody cheaply (a listener makes loads ten times slower): its generation is asked for. So are most sysctls. */
const LOOK_MS = 400;
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
  #unclear = false;
  #isDisturbed = false;
  #isClosed = false;
  #problem: string | undefined;

  constructor(parts: DriftParts) {
    this.#parts = parts;
    const listener = {
      onItem: (item: LinkItem, gone: boolean) => this.#hear(item, gone),
      onUnclear: () => {
        this.#unclear = true;
        this.#schedule('links');
      },
      farEndOf: (link: string) => this.#farEndOf(link),
    };
    this.#links = watchLinks(listener, { netns: parts.netns });
    parts.kernel.nftDisturbed();
    this.#looking = setInterval(() => {
      this.#lookAtNft();
      this.#lookAtSysctls();
    }, LOOK_MS).unref();
  }

  #farEndOf(link: string): FarEnd | undefined {
    const want = this.#parts.reconciler.wanted(identityOf({ kind: 'link', name: link } as Link));
    if (want?.kind !== 'link' || want.type.kind !== 'veth') return undefined;
    const { netns, name } = want.type.peer;
    return netns === undefined ? undefined : { netns, name };
  }

  /** What we do ourselves is heard too: it is as the plan wants it, or in no plan any more. */
  #hear(item: LinkItem, gone: boolean): void {
    const identity = identityOf(item);
    const want = this.#parts.reconciler.wanted(identity);
    if (!want) return;
    // What was not yet as wanted in an earlier message is now: we ourselves had not done with it.
    if (!gone && holds(item, want)) return void this.#touched.delete(identity);
    this.#touched.add(identity);
    this.#schedule('links');
  }

  /** A plan has few of these: what it sets for each link, the kernel tells of. */
  #lookAtSysctls(): void {
    const { reconciler, netns: home } = this.#parts;
    for (const [identity, item] of reconciler.unheard) {
      let value: string | undefined;
      try {
        value = readSysctl(item, home);
      } catch {
        // Its namespace is going.
        continue;
      }
      if (value === undefined || value === item.value) continue;
      this.#touched.add(identity);
      this.#schedule('links');
    }
  }

  #lookAtNft(): void {
    try {
      if (!this.#parts.kernel.nftDisturbed()) return;
      this.#isDisturbed = true;
      this.#schedule('nft');
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      log.warn({ node: this.#parts.nodeName, err: error }, 'the generation of nftables could not be read');
    }
  }

  #schedule(part: KernelPart): void {
    if (this.#due.has(part)) return;
    const wait = Math.max(part === 'links' ? GATHER_MS : 0, this.#notBefore[part] - performance.now());
    const repair = () => void (part === 'links' ? this.#repairLinks() : this.#repairRules());
    this.#due.set(part, setTimeout(repair, wait).unref());
  }

  async #repairLinks(): Promise<void> {
    const { reconciler } = this.#parts;
    this.#due.delete('links');
    const touched = new Set(this.#touched);
    const isIdle = !this.#unclear && ![...touched].some((each) => reconciler.wanted(each));
    this.#touched.clear();
    this.#unclear = false;
    if (isIdle) return;
    const done = await this.#attempt('links', () => reconciler.repairLinks(touched));
    // Once what stands in the way is away, what was touched is looked at.
    if (!done) for (const each of touched) this.#touched.add(each);
  }

  /** What is changed while it looks may be missed: as long as one is under way, the next is not due. */
  async #repairRules(): Promise<void> {
    this.#isDisturbed = false;
    await this.#attempt('nft', () => this.#parts.reconciler.repairRules());
    this.#due.delete('nft');
    if (this.#isDisturbed && !this.#isClosed) this.#schedule('nft');
  }

  /** False: the reconciler tries again by itself, and what stands in the way is said once. */
  async #attempt(part: KernelPart, repair: () => string[] | Promise<string[]>): Promise<boolean> {
    const started = performance.now();
    try {
      const repaired = await repair();
      if (repaired.length > 0) this.#tell(repaired);
      this.#problem = undefined;
      return true;
    } catch (error) {
      const problem = String(error);
      const message = 'kernel state changed by others could not be repaired yet';
      if (problem !== this.#problem && !this.#isClosed) log.warn({ node: this.#parts.nodeName, err: error }, message);
      this.#problem = problem;
      return false;
    } finally {
      const end = performance.now();
      this.#notBefore[part] = end + Math.max(SHORTEST_GAP_MS, (end - started) * SHARE);
    }
  }

  #tell(repaired: readonly string[]): void {
    const { nodeName: node, onRepaired } = this.#parts;
    if (onRepaired) onRepaired(repaired);
    else log.warn({ node, repaired }, 'kernel state that others had changed is repaired');
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#looking);
    for (const timer of this.#due.values()) clearTimeout(timer);
    this.#links.close();
  }
}

/** A link that we only set up may be of any kind. */
function holds(item: LinkItem, want: NonNullable<ReturnType<Reconciler['wanted']>>): boolean {
  if (item.kind === 'link' && want.kind === 'link' && want.type.kind === 'existing')
    return item.up === want.up && item.mtu === want.mtu && (want.mac === undefined || item.mac === want.mac);
  return satisfies(item, want);
}
