// Room kernel: the real one: a network namespace's state over netlink.
import type { IP } from '../addr/ip.ts';
import { NETLINK, NetlinkSocket } from '../sys/netlink-socket.ts';
import { deleteLink } from '../wire/netlink/link.ts';
import { openConntrack } from './conntrack-linux.ts';
import { FastPathLinks, type FastPathOptions } from './fast-path.ts';
import { putSwitch, removeSwitch } from './frame-switch.ts';
import { identityOf, isFastPathItem, isLinkItem, metricOf, satisfies } from './identity.ts';
import { IpipTunnels } from './ipip-tunnels.ts';
import {
  type Address,
  type FastPathItem,
  type KernelItem,
  type Link,
  type LinkItem,
  type NetnsPath,
  ROUTE_PROTOCOL,
  type Route,
  type Sysctl,
} from './items.ts';
import {
  type ConntrackFilter,
  type FlowEnd,
  type Kernel,
  KernelError,
  type KernelPart,
  type TrackedFlow,
  type Transaction,
} from './kernel.ts';
import { LinkRemoval } from './link-removal.ts';
import { changeLink, isNoIPv6, putLinks, settingsOnTheWay, stepsToSetUp } from './linux-links.ts';
import { addRequest, type OnLink, removeRequest } from './linux-messages.ts';
import { mtuTo, readAddressStates, readLinkItems } from './linux-read.ts';
import { asKernelError, codeOf, refused, Session, type Step, toKernelError } from './linux-session.ts';
import type { ConntrackBackend, NftBackend, NftFrame } from './nft.ts';
import type { NftCount, NftElement, NftItem, NftSet } from './nft-items.ts';
import { openNft } from './nft-linux.ts';
import { KeptSysctls, writeSysctl } from './sysctls.ts';

export interface LinuxOptions extends FastPathOptions {
  /** Path of the namespace; absent: the calling thread's. */
  readonly netns?: string;
  /** Instead of the real ones. */
  readonly nft?: NftBackend;
  readonly conntrack?: ConntrackBackend;
}

export function openKernel(options: LinuxOptions = {}): Kernel {
  return new LinuxKernel(options);
}

/** What removing answers when it is gone already. */
const GONE = new Set(['ENODEV', 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL', 'ENXIO']);

class LinuxKernel implements Kernel {
  readonly #options: LinuxOptions;
  readonly #socket: NetlinkSocket;
  readonly #removal: LinkRemoval;
  readonly #kept: KeptSysctls;
  #nft: NftBackend | undefined;
  #conntrack: ConntrackBackend | undefined;
  #tunnels: IpipTunnels | undefined;
  #fastPath: FastPathLinks | undefined;
  /** Left open for what follows in this turn. */
  #session: Session | undefined;

  constructor(options: LinuxOptions) {
    this.#options = options;
    this.#nft = options.nft;
    this.#conntrack = options.conntrack;
    this.#socket = new NetlinkSocket(NETLINK.ROUTE, options.netns);
    this.#removal = new LinkRemoval(options.netns);
    this.#kept = new KeptSysctls(options.netns);
  }

  read(part?: KernelPart): KernelItem[] {
    // What an earlier run had marked for removal when it ended.
    this.#removal.start();
    return asKernelError('read', undefined, () => [
      ...(part === 'nft' ? [] : readLinkItems(this.#socket)),
      ...(part === 'links' ? [] : this.#nftables().read()),
    ]);
  }

  readFrame(): NftFrame[] {
    return asKernelError('read', undefined, () => this.#nftables().readFrame());
  }

  async *elementsOf(set: NftSet): AsyncGenerator<readonly NftElement[]> {
    try {
      yield* this.#nftables().elementsOf(set);
    } catch (error) {
      throw toKernelError('read', set, error);
    }
  }

  lookUp(elements: readonly NftElement[]): (NftElement | undefined)[] {
    return asKernelError('read', undefined, () => this.#nftables().lookUp(elements));
  }

  hasLink(netns: NetnsPath, name: string): boolean {
    if (this.#session === undefined) setImmediate(() => this.#endSession());
    this.#session ??= new Session(this.#socket, this.#options.netns);
    return this.#session.at(netns).link(name) !== undefined;
  }

  #endSession(): void {
    this.#session?.[Symbol.dispose]();
    this.#session = undefined;
  }

  mtuTo(ip: IP): number | undefined {
    return mtuTo(this.#socket, ip);
  }

  nftDisturbed(): boolean {
    return asKernelError('read', undefined, () => this.#nftables().disturbed());
  }

  nftCounts(set: NftSet): NftCount[] {
    return this.#nftables().counts(set);
  }

  #nftables(): NftBackend {
    this.#nft ??= openNft(this.#options.netns);
    return this.#nft;
  }

  apply(transaction: Transaction): void {
    asKernelError('apply', undefined, () => this.#apply(transaction));
  }

  #apply({ add, change, remove }: Transaction): void {
    const removed = remove.filter(isLinkItem);
    using session = this.#session ?? new Session(this.#socket, this.#options.netns);
    this.#session = undefined;
    const puts = [...add, ...change.map((pair) => pair.to)].filter(isLinkItem);
    const links = puts.filter((item) => item.kind === 'link');
    const changed = new Set<LinkItem>(change.map((pair) => pair.to).filter(isLinkItem));
    const sysctls = puts.filter((item) => item.kind === 'sysctl');

    for (const item of sysctls) if (!isOfOneLink(item)) this.#writeSysctl(item);
    const [found, made] = partition(
      links.filter((link) => !changed.has(link)),
      (link) => link.type.kind === 'existing',
    );
    const settings = settingsOnTheWay(made, sysctls);
    const isSet = new Set([...settings.values()].flat());
    for (const [netns, of] of byNetns(made)) putLinks(session, netns, of, settings);
    for (const link of links) if (changed.has(link)) changeLink(session, link);
    for (const item of sysctls) if (isOfOneLink(item) && !isSet.has(item)) this.#writeSysctl(item);
    for (const item of puts) if (item.kind === 'ipip') this.#ipip().attach(item);
    for (const item of puts) if (item.kind === 'ipip-peer') this.#ipip().put(item);
    // What exists elsewhere may be the far end of a veth that was born here.
    for (const [netns, group] of byNetns([...found, ...puts.filter(isOnLink)])) this.#put(session, netns, group);
    // Last: the other end must be up before anything is sent there past the node.
    for (const item of puts) if (isFastPathItem(item)) this.#fast().put(item);
    for (const item of puts) if (item.kind === 'switch') putSwitch(session.at(item.netns, item).socket, item);

    this.#applyNft(add, change, remove);

    const vanishing = namesOfVanishing(removed);
    for (const item of removed) if (isFastPathItem(item)) this.#removeFast(item, vanishing);
    for (const item of removed) if (item.kind === 'switch') removeSwitch(session.ifThere(item.netns)?.socket, item);
    const loose = removed.filter(isOnLink).filter((item) => item.kind === 'route' || !vanishing.has(linkKey(item)));
    for (const [netns, group] of byNetns(loose)) this.#remove(session, netns, group, vanishing);
    for (const item of removed) if (item.kind === 'ipip-peer') this.#tunnels?.remove(item);
    for (const item of removed) if (item.kind === 'ipip') this.#ipip().detach(item);
    this.#removeLinks(
      session,
      removed.filter((item) => item.kind === 'link'),
    );
  }

  /** Links that are there already, addresses, then neighbours and forwarding entries, then routes, which need the addresses. */
  #put(session: Session, netns: string | undefined, items: readonly (Link | OnLink)[]): void {
    const space = session.at(netns, items[0]);
    const links = items.filter((item) => item.kind === 'link');
    const onLinks = items.filter(isOnLink);
    space.resolve([...links.flatMap(({ master }) => master ?? []), ...onLinks.flatMap(({ link }) => link ?? [])]);
    const steps: Step<Link | OnLink>[] = links.flatMap((link) => stepsToSetUp(space, link));
    for (const item of inOrder(onLinks)) {
      const request = addRequest(item, space.index, false);
      if (!request) throw noLink(item, links);
      steps.push({ item, request });
    }
    const taken: Route[] = [];
    const there: Address[] = [];
    for (const refusal of space.run(steps)) {
      const { error, item } = refusal;
      if (isNoIPv6(refusal)) continue;
      if (error.code === 'EEXIST' && item.kind === 'route') taken.push(item);
      else if (error.code === 'EEXIST' && item.kind === 'address') there.push(item);
      else throw refused(`add ${item.kind}`, refusal);
    }
    if (there.length > 0) this.#replaceAddresses(session, netns, there);
    if (taken.length > 0) this.#replaceRoutes(session, netns, taken);
  }

  /** Not those that are as wanted: of one that is put anew everybody is told, and looks over all that is there. */
  #replaceAddresses(session: Session, netns: string | undefined, addresses: readonly Address[]): void {
    const space = session.at(netns);
    const have = readAddressStates(space.socket);
    const isThere = (item: Address) =>
      have.some(
        ({ index, address, noPrefixRoute, protocol }) =>
          index === space.index(item.link) &&
          address === item.address &&
          noPrefixRoute === !!item.noPrefixRoute &&
          (protocol === ROUTE_PROTOCOL || protocol === 0),
      );
    const steps = addresses
      .filter((item) => !isThere(item))
      .map((item): Step<OnLink> => ({ item, request: addRequest(item, space.index, true)! }));
    for (const refusal of space.run(steps)) throw refused('replace address', refusal);
  }

  /** Routes to the same place with the same metric: ours are replaced, those of others stand. */
  #replaceRoutes(session: Session, netns: string | undefined, routes: readonly Route[]): void {
    const space = session.at(netns);
    const ours = new Map(readLinkItems(space.socket).map((item) => [identityOf(item), item]));
    const steps: Step<Route>[] = [];
    for (const item of routes) {
      const { netns: _, ...there } = item;
      const have = ours.get(identityOf({ ...there, metric: metricOf(item) }));
      if (!have) throw new KernelError('add route', 'EEXIST', 'a route of someone else has the place', item);
      if (!satisfies(have, there)) steps.push({ item, request: addRequest(item, space.index, true)! });
    }
    for (const refusal of space.run(steps)) throw refused('replace route', refusal);
  }

  #remove(session: Session, netns: string | undefined, items: readonly OnLink[], vanishing: ReadonlySet<string>): void {
    // What leads over a pod's end of a veth goes with the veth, and usually its namespace is gone before.
    const rest = netns === undefined ? items : items.filter((item) => !vanishing.has(linkKey(item)));
    const space = rest.length > 0 ? session.ifThere(netns) : undefined;
    if (!space) return;
    space.resolve(rest.flatMap((item) => item.link ?? []));
    const steps: Step<OnLink>[] = [];
    for (const item of inOrder(rest).reverse()) {
      const request = removeRequest(item, space.index);
      if (request) steps.push({ item, request });
    }
    for (const refusal of space.run(steps)) {
      const { error, item } = refusal;
      // A link without a bucket has the kernel's own queue, which nobody can take away.
      if (GONE.has(error.code) || (item.kind === 'bucket' && error.code === 'EINVAL')) continue;
      throw refused(`remove ${item.kind}`, refusal);
    }
  }

  #removeLinks(session: Session, links: readonly Link[]): void {
    const made = links.filter((link) => link.type.kind !== 'existing');
    for (const [netns, group] of byNetns(made)) {
      const request = (link: Link) => (netns === undefined ? this.#removal.mark(link.name) : deleteLink(link));
      const steps = group.map((item) => ({ item, request: request(item) }));
      for (const refusal of session.ifThere(netns)?.run(steps) ?? []) {
        if (!GONE.has(refusal.error.code)) throw refused('remove link', refusal);
      }
      if (netns === undefined) this.#removal.start();
    }
  }

  #applyNft(add: readonly KernelItem[], change: Transaction['change'], remove: readonly KernelItem[]): void {
    const adds = add.every(isNftItem) ? add : add.filter(isNftItem);
    const removes = remove.every(isNftItem) ? remove : remove.filter(isNftItem);
    const changes = change.flatMap(({ from, to }) => (isNftItem(from) && isNftItem(to) ? [{ from, to }] : []));
    if (adds.length + changes.length + removes.length === 0) return;
    this.#nftables().apply(adds, changes, removes);
  }

  #ipip(): IpipTunnels {
    this.#tunnels ??= new IpipTunnels(this.#socket);
    return this.#tunnels;
  }

  /** With a link go its programs. */
  #removeFast(item: FastPathItem, vanishing: ReadonlySet<string>): void {
    if (item.kind !== 'fast-path' || !vanishing.has(linkKey(item))) this.#fast().remove(item);
  }

  #fast(): FastPathLinks {
    this.#fastPath ??= new FastPathLinks(this.#socket, this.#options);
    return this.#fastPath;
  }

  #writeSysctl(item: Sysctl): void {
    try {
      if (item.netns === undefined && !isOfOneLink(item)) this.#kept.write(item);
      else writeSysctl(item, this.#options.netns);
    } catch (error) {
      const code = codeOf(error);
      if (code === undefined) throw error;
      if (code === 'ENOENT' && item.optional) return;
      throw new KernelError('set sysctl', code, undefined, item);
    }
  }

  removed(): Promise<void> {
    return this.#removal.settled();
  }

  flushConntrack(filters: readonly ConntrackFilter[]): number {
    if (filters.length === 0) return 0;
    return this.#connections().flush(filters);
  }

  async cutFlows(ends: readonly FlowEnd[], doomed: (flow: TrackedFlow) => boolean): Promise<number> {
    return this.#connections().cut(ends, doomed);
  }

  #connections(): ConntrackBackend {
    this.#conntrack ??= openConntrack(this.#options.netns);
    return this.#conntrack;
  }

  close(): void {
    this.#endSession();
    this.#removal.flush(this.#socket);
    this.#removal.close();
    this.#socket.close();
    this.#kept.close();
    this.#tunnels?.close();
    this.#fastPath?.close();
    this.#nft?.close();
    this.#conntrack?.close();
  }
}

function isNftItem(item: KernelItem): item is NftItem {
  return !isLinkItem(item);
}

const ON_LINK: ReadonlySet<KernelItem['kind']> = new Set(['address', 'neighbour', 'proxy', 'fdb', 'route', 'bucket']);

function isOnLink(item: LinkItem): item is OnLink {
  return ON_LINK.has(item.kind);
}

/** net/ipv4/conf/pw123/…: exists only with its link. */
function isOfOneLink(item: Sysctl): boolean {
  return /\/(conf|neigh)\/(?!all\/|default\/)/.test(item.key);
}

const ORDER = { address: 0, neighbour: 1, proxy: 1, fdb: 1, bucket: 1, route: 2 } as const;

function inOrder(items: readonly OnLink[]): OnLink[] {
  return items.toSorted((a, b) => ORDER[a.kind] - ORDER[b.kind] || directFirst(a) - directFirst(b));
}

/** A gateway must be reachable when its route is added. */
function directFirst(item: OnLink): number {
  return item.kind === 'route' && item.via !== undefined ? 1 : 0;
}

function noLink(item: OnLink, links: readonly Link[]): KernelError {
  const lacking: KernelItem = links.find(({ name }) => name === item.link) ?? item;
  return new KernelError(`add ${lacking.kind}`, 'ENODEV', undefined, lacking);
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

function byNetns<T extends LinkItem>(items: readonly T[]): Map<string | undefined, T[]> {
  return Map.groupBy(items, (item) => item.netns);
}

function linkKey(item: { readonly netns?: string; readonly link?: string }): string {
  return `${item.netns ?? ''} ${item.link}`;
}

/** Both ends of the veths, and other links, whose removal takes along all that is on them. */
function namesOfVanishing(removed: readonly LinkItem[]): Set<string> {
  const names = new Set<string>();
  for (const item of removed) {
    if (item.kind !== 'link' || item.type.kind === 'existing') continue;
    names.add(`${item.netns ?? ''} ${item.name}`);
    if (item.type.kind === 'veth') names.add(`${item.type.peer.netns ?? ''} ${item.type.peer.name}`);
  }
  return names;
}
