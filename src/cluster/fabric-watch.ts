// Room cluster: what others delete or change of the fabric, of the nodes' legs and of the machine's routes comes back.
import { identityOf, satisfies } from '../kernel/identity.ts';
import { itemText } from '../kernel/item-text.ts';
import type { FastPath, KernelItem, LinkItem, Sysctl } from '../kernel/items.ts';
import { type LinkWatch, type WatchOptions, watchLinks } from '../kernel/link-watch.ts';
import { isAnnounced, readSysctl } from '../kernel/sysctls.ts';
import { logger } from '../observe/log.ts';
import { netnsPath } from '../sys/netns.ts';
import { ensureFabric, type FabricOptions, fabricItems } from './fabric.ts';
import { netnsName } from './layout.ts';

const log = logger('fabric');
/** What is deleted with one command comes as many messages; and whoever keeps deleting is answered four times a second. */
const GATHER_MS = 20;
const GAP_MS = 250;
/** Of most sysctls the kernel tells nobody. */
const LOOK_MS = 500;
const SYSCTLS_AT_ONCE = 32;

/** Watches one state of the fabric: close it before a change of ours, and watch the new state after it. */
export class FabricWatch {
  readonly #options: FabricOptions;
  readonly #wanted: ReadonlyMap<string, KernelItem>;
  readonly #watches: LinkWatch[];
  readonly #touched = new Map<string, KernelItem>();
  readonly #unheard: Sysctl[];
  readonly #looking: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  #notBefore = 0;

  constructor(options: FabricOptions) {
    this.#options = options;
    this.#wanted = new Map(fabricItems(options).map((item) => [identityOf(item), item]));
    const { clusterName, nodes, hostNetns } = options;
    const pathOf = (part: string) => netnsPath(netnsName(clusterName, part));
    this.#watches = [
      this.#watch(hostNetns, undefined),
      this.#watch(pathOf('fabric'), pathOf('fabric')),
      // Its routes and neighbours are the agent's affair.
      ...nodes.map(({ name }) => this.#watch(pathOf(name), pathOf(name), ['LINK', 'IPV4_IFADDR', 'IPV6_IFADDR'])),
    ];
    const sysctls = [...this.#wanted.values()].filter((item) => item.kind === 'sysctl');
    this.#unheard = sysctls.filter((item) => !isAnnounced(item));
    this.#looking = setInterval(() => this.#lookAtSysctls(), LOOK_MS).unref();
  }

  /** Items of the machine's own namespace carry no path. */
  #watch(path: string | undefined, netns: string | undefined, groups?: WatchOptions['groups']): LinkWatch {
    const listener = {
      onItem: (item: LinkItem, gone: boolean) => this.#hear(netns === undefined ? item : { ...item, netns }, gone),
      onUnclear: () => {},
    };
    return watchLinks(listener, { netns: path, ...(groups && { groups }) });
  }

  #hear(item: LinkItem, gone: boolean): void {
    // The kernel tells of a filter that is gone, whosever it was.
    const want = item.kind === 'fast-path' ? this.#switchAt(item) : this.#wanted.get(identityOf(item));
    if (!want || (!gone && holds(item, want))) return;
    this.#suspect(want);
  }

  #switchAt({ netns, link }: FastPath): KernelItem | undefined {
    const has = (item: KernelItem) =>
      item.kind === 'switch' && item.netns === netns && item.ports.some((port) => port.link === link);
    return [...this.#wanted.values()].find(has);
  }

  /** Some at a time, in turn: in a large fabric a look at all of them would be work. */
  #lookAtSysctls(): void {
    for (const item of this.#unheard.splice(0, SYSCTLS_AT_ONCE)) {
      this.#unheard.push(item);
      const value = readSysctl(item);
      if (value !== undefined && value !== item.value) this.#suspect(item);
    }
  }

  #suspect(want: KernelItem): void {
    this.#touched.set(identityOf(want), want);
    this.#timer ??= setTimeout(() => this.#mend(), Math.max(GATHER_MS, this.#notBefore - performance.now())).unref();
  }

  #mend(): void {
    this.#timer = undefined;
    const repaired = [...this.#touched.values()].map((item) => itemText(item));
    this.#touched.clear();
    this.#notBefore = performance.now() + GAP_MS;
    try {
      ensureFabric(this.#options);
      log.warn({ repaired }, 'what others had changed of the fabric is repaired');
    } catch (error) {
      log.error({ err: error, repaired }, 'what others changed of the fabric could not be repaired');
    }
  }

  close(): void {
    clearInterval(this.#looking);
    clearTimeout(this.#timer);
    for (const watch of this.#watches) watch.close();
  }
}

/** A message tells no veth's far end, and of a link that we only set up no kind. */
function holds(item: LinkItem, want: KernelItem): boolean {
  if (item.kind !== 'link' || want.kind !== 'link') return satisfies(item, want);
  if (want.mac !== undefined && item.mac !== want.mac) return false;
  return item.up === want.up && item.mtu === want.mtu && item.master === want.master;
}
