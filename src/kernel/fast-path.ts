// Room kernel: the fast path of one namespace: programs on links, and the maps in which they find pods and other nodes.
import { closeSync } from 'node:fs';
import { createMap, deleteElement, loadProgram, SCHED_CLS, updateElement } from '../sys/bpf.ts';
import { kernelBtf } from '../sys/btf.ts';
import { ticksPerSecond } from '../sys/clock.ts';
import { closeOwned, own } from '../sys/descriptors.ts';
import { SysError } from '../sys/ffi.ts';
import type { NetlinkSocket } from '../sys/netlink-socket.ts';
import { findInBtf } from '../wire/bpf/btf.ts';
import {
  addressKey,
  type ConntrackNumbers,
  type FastPathMaps,
  fromPod,
  fromWire,
  POD_MAP,
  podValue,
  ROUTE_MAP,
  routeKey,
  routeValue,
} from '../wire/bpf/fast-path.ts';
import { deleteFilter, newClsact, replaceFilter } from '../wire/netlink/filter.ts';
import { loadSwitch } from './frame-switch.ts';
import type { FastPath, FastPathItem, FastPod, FastRoute } from './items.ts';
import { KernelError } from './kernel.ts';
import { linkIndex, requestOr } from './tc-links.ts';

/** Behind the one that takes off outer headers (ipip-tunnels.ts). */
const PRIORITY = 0x7078;
const MAX_ENTRIES = 16384;
const GONE = new Set(['ENOENT', 'EINVAL', 'ENODEV']);
const BUILDERS = { pod: fromPod, wire: fromWire } as const;

/**
 * A new one, as an agent has after its start, begins with empty maps and takes the place of the old one link by link: until its
 * maps are filled packets go the node's way, and nothing is lost.
 */
export class FastPathLinks {
  readonly #socket: NetlinkSocket;
  readonly #numbers: ConntrackNumbers | undefined;
  readonly #programs = new Map<string, number>();
  #maps: FastPathMaps | undefined;
  /** By destination; and the index that each link had when it was last attached to. */
  readonly #routes = new Map<string, FastRoute>();
  readonly #indexes = new Map<string, number>();

  constructor(socket: NetlinkSocket, numbers: ConntrackNumbers | undefined) {
    this.#socket = socket;
    this.#numbers = numbers;
  }

  put(item: FastPathItem): void {
    const index = linkIndex(this.#socket, item.link);
    if (index === undefined) throw new KernelError(`add ${item.kind}`, 'ENODEV', undefined, item);
    this.#maps ??= this.#ownMaps();
    if (item.kind === 'fast-path') this.#attach(item, index, this.#maps);
    else if (item.kind === 'fast-pod') updateElement(this.#maps.pods, addressKey(item.ip), podValue(index));
    else this.#putRoute(item, index, this.#maps);
  }

  #putRoute(item: FastRoute, index: number, maps: FastPathMaps): void {
    updateElement(maps.routes, routeKey(item.dst), routeValue(index, item.dst, item.via, item.straight));
    this.#routes.set(item.dst, item);
  }

  #ownMaps(): FastPathMaps {
    const maps = createMaps();
    own(maps.pods);
    own(maps.routes);
    return maps;
  }

  #attach(item: FastPath, index: number, maps: FastPathMaps): void {
    requestOr(this.#socket, newClsact(index), 'EEXIST');
    const program = this.#programs.get(programKey(item)) ?? this.#load(item, maps);
    const filter = { index, direction: 'ingress', priority: PRIORITY } as const;
    this.#socket.request(replaceFilter(filter, program, `podwire-fast-path-${item.from}`));
    // A link that was made anew, as a node's leg is, has another index, and nobody tells of the routes over it.
    const before = this.#indexes.get(item.link);
    this.#indexes.set(item.link, index);
    if (before === undefined || before === index) return;
    for (const route of this.#routes.values()) if (route.link === item.link) this.#putRoute(route, index, maps);
  }

  /** One program serves all links of its kind. */
  #load(item: FastPath, maps: FastPathMaps): number {
    const numbers = this.#numbers ?? conntrackNumbers();
    if (!numbers) throw new KernelError('add fast-path', 'EOPNOTSUPP', NO_CONNTRACK, item);
    const program = own(loadProgram(SCHED_CLS, BUILDERS[item.from](maps, numbers, item.vxlan)));
    this.#programs.set(programKey(item), program);
    return program;
  }

  remove(item: FastPathItem): void {
    if (item.kind === 'fast-path') {
      const index = linkIndex(this.#socket, item.link);
      const filter = { index: index ?? 0, direction: 'ingress', priority: PRIORITY } as const;
      if (index !== undefined) requestOr(this.#socket, deleteFilter(filter), ...GONE);
    } else if (this.#maps) removeEntry(this.#maps, item);
    if (item.kind === 'fast-route') this.#routes.delete(item.dst);
  }

  /** Attached programs go on with their maps. */
  close(): void {
    const { pods, routes } = this.#maps ?? {};
    for (const fd of [...this.#programs.values(), pods, routes]) if (fd !== undefined) closeOwned(fd);
    this.#programs.clear();
    this.#maps = undefined;
  }
}

function programKey({ from, vxlan }: FastPath): string {
  return vxlan ? `${from} ${vxlan.local} ${vxlan.port} ${vxlan.vni}` : from;
}

function createMaps(): FastPathMaps {
  const pods = createMap('hash', { ...POD_MAP, maxEntries: MAX_ENTRIES });
  try {
    return { pods, routes: createMap('prefixes', { ...ROUTE_MAP, maxEntries: MAX_ENTRIES }) };
  } catch (error) {
    closeSync(pods);
    throw error;
  }
}

function removeEntry(maps: FastPathMaps, item: FastPod | FastRoute): void {
  try {
    if (item.kind === 'fast-pod') deleteElement(maps.pods, addressKey(item.ip));
    else deleteElement(maps.routes, routeKey(item.dst));
  } catch (error) {
    if (!(error instanceof SysError) || error.code !== 'ENOENT') throw error;
  }
}

const NO_CONNTRACK = 'eBPF cannot look into connection tracking (bpf_skb_ct_lookup, Linux 5.18 with BTF)';

const WANTED = {
  functions: ['bpf_skb_ct_lookup', 'bpf_ct_release'],
  fields: ['nf_conn.status', 'nf_conn.timeout'],
} as const;

/** Undefined when this kernel's programs cannot ask connection tracking. Reads some megabytes: ask once a process. */
export function conntrackNumbers(): ConntrackNumbers | undefined {
  const btf = kernelBtf();
  const found = btf && findInBtf(btf, WANTED);
  const [lookup, release, status, timeout] = [...WANTED.functions, ...WANTED.fields].map((name) => found?.get(name));
  if (lookup === undefined || release === undefined || status === undefined || timeout === undefined) return undefined;
  return { lookup, release, status, timeout, ticksPerSecond: ticksPerSecond() };
}

const ANY_END = { local: '127.0.0.1', port: 8472, vni: 1 };

/** Whether this kernel takes the programs: what they need to know of it, or what it lacks. Needs root. */
export function probeFastPath(): { readonly numbers: ConntrackNumbers } | { readonly missing: string } {
  const numbers = conntrackNumbers();
  if (!numbers) return { missing: NO_CONNTRACK };
  let maps: FastPathMaps | undefined;
  try {
    maps = createMaps();
    for (const build of Object.values(BUILDERS)) closeSync(loadProgram(SCHED_CLS, build(maps, numbers, ANY_END)));
    closeSync(loadSwitch([]));
    return { numbers };
  } catch (error) {
    if (error instanceof SysError) return { missing: error.message };
    throw error;
  } finally {
    if (maps) for (const fd of [maps.pods, maps.routes]) closeSync(fd);
  }
}
