// Room kernel: IP in IP by eBPF on existing links of one namespace, for kernels without the tunnel device.
import { closeSync } from 'node:fs';
import { createMap, deleteElement, loadProgram, SCHED_CLS, updateElement } from '../sys/bpf.ts';
import { closeOwned, own } from '../sys/descriptors.ts';
import { SysError } from '../sys/ffi.ts';
import type { NetlinkSocket } from '../sys/netlink-socket.ts';
import { decapsulate, encapsulate, PEER_MAP, peerKey, peerValue } from '../wire/bpf/ipip.ts';
import { type Direction, deleteFilter, newClsact, replaceFilter } from '../wire/netlink/filter.ts';
import type { IpipPeer, IpipTunnel } from './items.ts';
import { KernelError } from './kernel.ts';
import { linkIndex, requestOr } from './tc-links.ts';

/** Of our filters among others of the link. */
const PRIORITY = 0x7077;
const MAX_PEERS = 16384;
const GONE = new Set(['ENOENT', 'EINVAL', 'ENODEV']);

/** What runs in the kernel goes on when this is closed; a new one takes its place by attaching anew. */
export class IpipTunnels {
  readonly #socket: NetlinkSocket;
  /** By link: the map of which node has which pods. */
  readonly #maps = new Map<string, number>();

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  attach(item: IpipTunnel): void {
    const index = linkIndex(this.#socket, item.link);
    if (index === undefined) throw new KernelError('add ipip', 'ENODEV', undefined, item);
    const map = this.#maps.get(item.link) ?? own(createMap('prefixes', { ...PEER_MAP, maxEntries: MAX_PEERS }));
    this.#maps.set(item.link, map);
    requestOr(this.#socket, newClsact(index), 'EEXIST');
    // First what receives: others may send already.
    this.#load(index, 'ingress', decapsulate(map, item.local));
    this.#load(index, 'egress', encapsulate(map, item.local));
  }

  #load(index: number, direction: Direction, code: Uint8Array): void {
    const program = loadProgram(SCHED_CLS, code);
    try {
      this.#socket.request(
        replaceFilter({ index, direction, priority: PRIORITY }, program, `podwire-ipip-${direction}`),
      );
    } finally {
      closeSync(program);
    }
  }

  detach({ link }: IpipTunnel): void {
    const index = linkIndex(this.#socket, link);
    for (const direction of ['egress', 'ingress'] as const) {
      if (index !== undefined) requestOr(this.#socket, deleteFilter({ index, direction, priority: PRIORITY }), ...GONE);
    }
    const map = this.#maps.get(link);
    if (map !== undefined) closeOwned(map);
    this.#maps.delete(link);
  }

  put(item: IpipPeer): void {
    const map = this.#maps.get(item.link);
    if (map === undefined) throw new KernelError('add ipip-peer', 'ENODEV', `no ipip on ${item.link}`, item);
    updateElement(map, peerKey(item.dst), peerValue(item.remote, !item.receiveOnly));
  }

  remove(item: IpipPeer): void {
    const map = this.#maps.get(item.link);
    if (map === undefined) return;
    try {
      deleteElement(map, peerKey(item.dst));
    } catch (error) {
      if (!(error instanceof SysError) || error.code !== 'ENOENT') throw error;
    }
  }

  close(): void {
    for (const map of this.#maps.values()) closeOwned(map);
    this.#maps.clear();
  }
}

/** Whether this kernel takes the programs. */
export function supportsIpipByEbpf(): boolean {
  let map: number | undefined;
  try {
    map = createMap('prefixes', { ...PEER_MAP, maxEntries: 1 });
    for (const code of [encapsulate(map, '127.0.0.1'), decapsulate(map, '127.0.0.1')]) {
      closeSync(loadProgram(SCHED_CLS, code));
    }
    return true;
  } catch (error) {
    if (error instanceof SysError) return false;
    throw error;
  } finally {
    if (map !== undefined) closeSync(map);
  }
}
