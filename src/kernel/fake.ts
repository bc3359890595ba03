// Room kernel: one in memory that obeys the contract of the real one (contract.ts): for planners, reconciler and tests.
import { familyOf } from '../addr/ip.ts';
import { prefixContains } from '../addr/prefix.ts';
import { identityOf, isLinkItem, isOurLink, isReadable, metricOf, scopeOf } from './identity.ts';
import type { KernelItem, Link, LinkItem, NetnsPath, Route } from './items.ts';
import {
  type ConntrackFilter,
  type FlowEnd,
  type Kernel,
  KernelError,
  type KernelPart,
  type TrackedFlow,
  type Transaction,
} from './kernel.ts';
import type { ConntrackBackend, NftBackend, NftFrame } from './nft.ts';
import type { NftCount, NftElement, NftItem, NftSet } from './nft-items.ts';

export interface FakeOptions {
  /** Paths of the namespaces that exist besides the kernel's own. */
  readonly namespaces?: readonly NetnsPath[];
  readonly nft?: NftBackend;
  readonly conntrack?: ConntrackBackend;
}

type OnLink = Exclude<LinkItem, { kind: 'link' | 'sysctl' | 'ipip' | 'fast-path' | 'switch' }>;

export class FakeKernel implements Kernel {
  readonly #options: FakeOptions;
  readonly #namespaces: Set<NetnsPath>;
  readonly #items = new Map<string, LinkItem>();
  /** Every transaction that was asked for, in order. */
  readonly transactions: Transaction[] = [];
  /** Set to make the next apply() fail with it after half of its additions. */
  failNext: KernelError | undefined;

  constructor(options: FakeOptions = {}) {
    this.#options = options;
    this.#namespaces = new Set(options.namespaces);
    for (const netns of [undefined, ...this.#namespaces]) this.#bornWith(netns);
  }

  #bornWith(netns: NetnsPath | undefined): void {
    this.#store({
      kind: 'link',
      name: 'lo',
      mtu: 65536,
      up: false,
      type: { kind: 'existing' },
      ...(netns && { netns }),
    });
  }

  addNamespace(netns: NetnsPath): void {
    this.#namespaces.add(netns);
    this.#bornWith(netns);
  }

  /** All that a namespace holds, also what read() leaves out. */
  at(netns?: NetnsPath): LinkItem[] {
    return [...this.#items.values()].filter((item) => item.netns === netns);
  }

  read(part?: KernelPart): KernelItem[] {
    const items: KernelItem[] = [];
    for (const item of part === 'nft' ? [] : this.#items.values()) {
      if (!isReadable(item)) continue;
      const hidden = item.kind === 'link' && item.type.kind === 'veth';
      items.push(hidden ? { ...item, type: { kind: 'veth', peer: { name: '' } } } : item);
    }
    return [...items, ...(part === 'links' ? [] : (this.#options.nft?.read() ?? []))];
  }

  readFrame(): NftFrame[] {
    return this.#options.nft?.readFrame() ?? [];
  }

  async *elementsOf(set: NftSet): AsyncGenerator<readonly NftElement[]> {
    if (this.#options.nft) yield* this.#options.nft.elementsOf(set);
  }

  lookUp(elements: readonly NftElement[]): (NftElement | undefined)[] {
    return this.#options.nft?.lookUp(elements) ?? elements.map(() => undefined);
  }

  hasLink(netns: NetnsPath, name: string): boolean {
    return this.at(netns).some((item) => item.kind === 'link' && item.name === name);
  }

  /** Nothing leads out of here. */
  mtuTo(): undefined {
    return undefined;
  }

  nftDisturbed(): boolean {
    return this.#options.nft?.disturbed() ?? false;
  }

  apply(transaction: Transaction): void {
    this.transactions.push(transaction);
    const { add, change, remove } = transaction;
    const puts = [...add, ...change.map((pair) => pair.to)].filter(isLinkItem);
    const failure = this.failNext;
    this.failNext = undefined;
    const ordered = puts.toSorted((a, b) => rank(a) - rank(b));
    for (const item of failure ? ordered.slice(0, ordered.length / 2) : ordered) this.#put(item);
    if (failure) throw failure;
    this.#applyNft(add, change, remove);
    for (const item of remove.filter(isLinkItem).toSorted((a, b) => rank(b) - rank(a))) this.#remove(item);
  }

  #put(item: LinkItem): void {
    if (item.netns !== undefined && !this.#namespaces.has(item.netns)) refuse('open namespace', 'ENOENT', item);
    if (item.kind === 'link') this.#putLink(item);
    else if (item.kind === 'sysctl' || item.kind === 'switch') this.#store(item);
    else if (item.kind === 'ipip' || item.kind === 'fast-path') {
      if (!this.#link(item.netns, item.link)) refuse(`add ${item.kind}`, 'ENODEV', item);
      this.#store(item);
    } else {
      this.#checkOnLink(item);
      this.#store(item.kind === 'route' ? { ...item, metric: metricOf(item), scope: scopeOf(item) } : item);
    }
  }

  #putLink(item: Link): void {
    if (new TextEncoder().encode(item.name).length > 15) refuse('add link', 'ERANGE', item);
    if (item.master !== undefined && this.#link(item.netns, item.master) === undefined)
      refuse('add link', 'ENODEV', item);
    const have = this.#link(item.netns, item.name);
    if (item.type.kind === 'existing') {
      if (!have) refuse('add link', 'ENODEV', item);
      this.#store({ ...have, ...item, ...(have.type.kind !== 'existing' && { type: have.type }) });
      return;
    }
    if (have && !isOurLink(item.name)) refuse('add link', 'EEXIST', item);
    const { type } = item;
    if (have && !sameDevice(have, item)) this.#removeLink(have);
    if (type.kind === 'veth' && this.#link(item.netns, item.name) === undefined) this.#bearPeer(item, type.peer);
    const { master: _, ...kept } = have && sameDevice(have, item) ? have : item;
    this.#store({ ...kept, ...item });
  }

  #bearPeer(item: Link, peer: { name: string; netns?: NetnsPath; mac?: string; mtu?: number }): void {
    if (peer.netns !== undefined && !this.#namespaces.has(peer.netns)) refuse('open namespace', 'ENOENT', item);
    const netns = peer.netns ?? item.netns;
    if (this.#link(netns, peer.name)) refuse('add link', 'EEXIST', item);
    const twin = { name: item.name, ...(item.netns && { netns: item.netns }) };
    this.#store({
      kind: 'link',
      name: peer.name,
      mtu: peer.mtu ?? item.mtu,
      up: false,
      type: { kind: 'veth', peer: twin },
      ...(peer.mac && { mac: peer.mac }),
      ...(netns && { netns }),
    });
  }

  #checkOnLink(item: OnLink): void {
    const operation = `add ${item.kind}`;
    if (item.link === undefined) return;
    const link = this.#link(item.netns, item.link) ?? refuse(operation, 'ENODEV', item);
    if (item.kind === 'fdb' && link.type.kind !== 'vxlan') refuse(operation, 'EOPNOTSUPP', item);
    if (item.kind !== 'route') return;
    if (!link.up) refuse(operation, 'ENETDOWN', item);
    if (item.via !== undefined && !item.onlink && !this.#reaches(item, item.via)) {
      refuse(operation, familyOf(item.via) === 4 ? 'ENETUNREACH' : 'EHOSTUNREACH', item);
    }
  }

  #reaches({ netns, link }: Route, via: string): boolean {
    return this.at(netns).some((other) => {
      if (other.kind === 'address') return other.link === link && prefixContains(other.address, via);
      return (
        other.kind === 'route' && other.link === link && scopeOf(other) === 'link' && prefixContains(other.dst, via)
      );
    });
  }

  #remove(item: LinkItem): void {
    if (item.kind === 'sysctl') return;
    if (item.kind !== 'link') this.#items.delete(identityOf(item));
    else if (item.type.kind !== 'existing') {
      const have = this.#link(item.netns, item.name);
      if (have) this.#removeLink(have);
    }
  }

  /** With all that is on it and leads over it, and its other end. */
  #removeLink(link: Link): void {
    this.#items.delete(identityOf(link));
    for (const [identity, item] of this.#items) {
      if (item.netns === link.netns && 'link' in item && item.link === link.name) this.#items.delete(identity);
    }
    if (link.type.kind !== 'veth') return;
    const { peer } = link.type;
    const other = this.#link(peer.netns ?? link.netns, peer.name);
    if (other) this.#removeLink(other);
  }

  #link(netns: NetnsPath | undefined, name: string): Link | undefined {
    const probe = { kind: 'link', name, mtu: 0, up: false, type: { kind: 'existing' } } as const;
    const item = this.#items.get(identityOf(netns === undefined ? probe : { ...probe, netns }));
    return item?.kind === 'link' ? item : undefined;
  }

  #store(item: LinkItem): void {
    this.#items.set(identityOf(item), item);
  }

  #applyNft(add: readonly KernelItem[], change: Transaction['change'], remove: readonly KernelItem[]): void {
    const isNft = (item: KernelItem): item is NftItem => !isLinkItem(item);
    const changes = change.flatMap(({ from, to }) => (isNft(from) && isNft(to) ? [{ from, to }] : []));
    const adds = add.filter(isNft);
    const removes = remove.filter(isNft);
    const first = adds[0] ?? changes[0]?.to ?? removes[0];
    if (first && !this.#options.nft) throw new KernelError('nftables', 'EOPNOTSUPP', undefined, first);
    if (first) this.#options.nft!.apply(adds, changes, removes);
  }

  removed(): Promise<void> {
    return Promise.resolve();
  }

  flushConntrack(filters: readonly ConntrackFilter[]): number {
    return this.#options.conntrack?.flush(filters) ?? 0;
  }

  async cutFlows(ends: readonly FlowEnd[], doomed: (flow: TrackedFlow) => boolean): Promise<number> {
    return this.#options.conntrack?.cut(ends, doomed) ?? 0;
  }

  nftCounts(set: NftSet): NftCount[] {
    return this.#options.nft?.counts(set) ?? [];
  }

  close(): void {
    this.#options.nft?.close();
    this.#options.conntrack?.close();
  }
}

function sameDevice(have: Link, want: Link): boolean {
  if (have.type.kind === 'vxlan' && want.type.kind === 'vxlan') {
    const { vni, local, port } = want.type;
    return have.type.vni === vni && have.type.local === local && have.type.port === port;
  }
  if (have.type.kind === 'ipip' && want.type.kind === 'ipip') return have.type.local === want.type.local;
  if (have.type.kind === 'veth' && want.type.kind === 'veth') {
    const { name, netns } = want.type.peer;
    return have.type.peer.name === name && (have.type.peer.netns ?? have.netns) === (netns ?? want.netns);
  }
  return have.type.kind === want.type.kind;
}

/** The order in which additions are made: what others need comes first. */
function rank(item: LinkItem): number {
  if (item.kind === 'link') return item.type.kind === 'bridge' ? 0 : item.type.kind === 'existing' ? 2 : 1;
  if (item.kind === 'route') return item.via === undefined ? 6 : 7;
  const others = {
    sysctl: 3,
    ipip: 3,
    'fast-path': 3,
    address: 4,
    neighbour: 5,
    proxy: 5,
    fdb: 5,
    bucket: 5,
    'ipip-peer': 5,
    switch: 8,
  } as const;
  return item.kind === 'fast-pod' || item.kind === 'fast-route' ? 8 : others[item.kind];
}

function refuse(operation: string, code: string, item: KernelItem): never {
  throw new KernelError(operation, code, undefined, item);
}
