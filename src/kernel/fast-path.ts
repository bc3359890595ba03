// Room kernel: the fast path of one namespace: programs on links, and the maps in which they find pods and other nodes.
import { hash } from 'node:crypto';
import { closeSync } from 'node:fs';
import type { Family } from '../addr/ip.ts';
import { createMap, deleteElement, loadProgram, SCHED_CLS, updateElement } from '../sys/bpf.ts';
import { kernelBtf } from '../sys/btf.ts';
import { ticksPerSecond } from '../sys/clock.ts';
import { closeOwned, own } from '../sys/descriptors.ts';
import { SysError } from '../sys/ffi.ts';
import { NetlinkError, type NetlinkSocket } from '../sys/netlink-socket.ts';
import { findInBtf } from '../wire/bpf/btf.ts';
import {
  addressKey,
  type FastPathMaps,
  fromPod,
  fromWire,
  POD_MAP,
  podValue,
  ROUTE_MAP,
  routeKey,
  routeValue,
} from '../wire/bpf/fast-path.ts';
import { type AgainNumbers, type ConntrackNumbers, GENERATION_MAP, SLOT_MAP } from '../wire/bpf/flow-memory.ts';
import { switchFrames } from '../wire/bpf/frame-switch.ts';
import { deleteFilter, newClsact, replaceFilter } from '../wire/netlink/filter.ts';
import { trySwitch } from './frame-switch.ts';
import type { FastPath, FastPathItem, FastPod, FastRoute } from './items.ts';
import { KernelError } from './kernel.ts';
import { linkIndex, requestOr } from './tc-links.ts';

/** Behind the one that takes off outer headers (ipip-tunnels.ts). */
const PRIORITY = 0x7078;
const MAX_ROUTES = 16384;
/** Of one node, where some 110 are usual; a hash takes 16 bytes for each at once. */
const MAX_PODS = 4096;
const GONE = new Set(['ENOENT', 'EINVAL', 'ENODEV']);
const FAMILIES: readonly Family[] = [4, 6];
const BUILDERS = { pod: fromPod, wire: fromWire } as const;

export interface FastPathOptions {
  /** What programs need to know of the kernel; absent: looked up when first needed. */
  readonly conntrackNumbers?: ConntrackNumbers;
  /** Of the pods' addresses; absent: both. A program for one is half as long to check. */
  readonly podFamilies?: readonly Family[];
}

/**
 * A new one, as an agent has after its start, begins with empty maps and takes the place of the old one link by link: until its
 * maps are filled packets go the node's way, and nothing is lost.
 */
export class FastPathLinks {
  readonly #socket: NetlinkSocket;
  readonly #options: FastPathOptions;
  readonly #programs = new Map<string, number>();
  #maps: FastPathMaps | undefined;
  #generation = 1;
  /** By destination; and the index that each link had when it was last attached to. */
  readonly #routes = new Map<string, FastRoute>();
  readonly #indexes = new Map<string, number>();

  constructor(socket: NetlinkSocket, options: FastPathOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  put(item: FastPathItem): void {
    const index = linkIndex(this.#socket, item.link);
    if (index === undefined) throw new KernelError(`add ${item.kind}`, 'ENODEV', undefined, item);
    this.#maps ??= this.#ownMaps();
    if (item.kind === 'fast-path') this.#attach(item, index, this.#maps);
    else if (item.kind === 'fast-pod') updateElement(this.#maps.pods, addressKey(item.ip), podValue(index));
    else this.#putRoute(item, index, this.#maps);
    this.forget();
  }

  /** What programs remember of flows counts no longer: each is looked up anew with its next packet. */
  forget(): void {
    if (this.#maps) updateElement(this.#maps.generation, FIRST, generationValue(++this.#generation));
  }

  #putRoute(item: FastRoute, index: number, maps: FastPathMaps): void {
    updateElement(maps.routes, routeKey(item.dst), routeValue(index, item.dst, item.via, item.straight));
    this.#routes.set(item.dst, item);
  }

  #ownMaps(): FastPathMaps {
    const maps = createMaps();
    for (const map of Object.values(maps)) own(map);
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
    const { conntrackNumbers: conntrack = conntrackNumbers(), podFamilies: families = FAMILIES } = this.#options;
    if (!conntrack) throw new KernelError('add fast-path', 'EOPNOTSUPP', NO_CONNTRACK, item);
    const program = own(loadProgram(SCHED_CLS, BUILDERS[item.from]({ maps, conntrack, families }, item.vxlan)));
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
    this.forget();
  }

  /** Attached programs go on with their maps. */
  close(): void {
    for (const fd of [...this.#programs.values(), ...Object.values(this.#maps ?? {})]) closeOwned(fd);
    this.#programs.clear();
    this.#maps = undefined;
  }
}

function programKey({ from, vxlan }: FastPath): string {
  return vxlan ? `${from} ${vxlan.local} ${vxlan.port} ${vxlan.vni}` : from;
}

const FIRST = new Uint8Array(GENERATION_MAP.keySize);

/** Zero is never one. */
function generationValue(generation: number): Uint8Array {
  const value = new Uint8Array(GENERATION_MAP.valueSize);
  new DataView(value.buffer).setUint32(0, generation, true);
  return value;
}

function createMaps(): FastPathMaps {
  const made: number[] = [];
  const create = (...shape: Parameters<typeof createMap>) => {
    made.push(createMap(...shape));
    return made.at(-1)!;
  };
  try {
    const maps = {
      pods: create('hash', { ...POD_MAP, maxEntries: MAX_PODS }),
      routes: create('prefixes', { ...ROUTE_MAP, maxEntries: MAX_ROUTES }),
      slots: create('cpuArray', SLOT_MAP),
      generation: create('array', GENERATION_MAP),
    };
    updateElement(maps.generation, FIRST, generationValue(1));
    return maps;
  } catch (error) {
    for (const map of made) closeSync(map);
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

const NO_CONNTRACK =
  'eBPF cannot look into connection tracking (bpf_skb_ct_lookup: Linux 5.18 with BTF, and nf_conntrack not as a module)';

const WANTED = {
  functions: ['bpf_skb_ct_lookup', 'bpf_ct_release'],
  fields: ['nf_conn.status', 'nf_conn.timeout'],
} as const;
/** For looking at an entry again; the structs are asked for by their numbers. */
const WANTED_AGAIN = {
  functions: ['bpf_rdonly_cast'],
  structs: ['nf_conn', 'nf_conntrack_tuple'],
  fields: ['nf_conn.tuplehash', 'nf_conn.ct_net'],
} as const;

/** Undefined when this kernel's programs cannot ask connection tracking. Reads some megabytes: ask once a process. */
export function conntrackNumbers(): ConntrackNumbers | undefined {
  const btf = kernelBtf();
  const { functions, fields } = WANTED;
  const found =
    btf &&
    findInBtf(btf, {
      functions: [...functions, ...WANTED_AGAIN.functions],
      structs: WANTED_AGAIN.structs,
      fields: [...fields, ...WANTED_AGAIN.fields],
    });
  const [lookup, release, status, timeout] = [...functions, ...fields].map((name) => found?.get(name));
  if (lookup === undefined || release === undefined || status === undefined || timeout === undefined) return undefined;
  const again = againNumbers(found!);
  return { lookup, release, status, timeout, ticksPerSecond: ticksPerSecond(), ...(again && { again }) };
}

function againNumbers(found: ReadonlyMap<string, number>): AgainNumbers | undefined {
  const { functions, structs, fields } = WANTED_AGAIN;
  const [cast, conn, tuple, tuples, net] = [...functions, ...structs, ...fields].map((name) => found.get(name));
  if (cast === undefined || conn === undefined || tuple === undefined) return undefined;
  return tuples === undefined || net === undefined ? undefined : { cast, conn, tuple, tuples, net };
}

const ANY_MAPS: FastPathMaps = { pods: 1, routes: 2, slots: 3, generation: 4 };
const ANY_END = { local: '127.0.0.1', port: 8472, vni: 1 };

export type FastPathAnswer =
  | { readonly numbers: ConntrackNumbers }
  | { readonly missing: string; readonly lasting: boolean };

/** Whether this kernel takes the programs, and its links too: what they need to know of it, or what it lacks, and whether it lacks that for good. Needs root. */
export function probeFastPath(): FastPathAnswer {
  const numbers = conntrackNumbers();
  if (!numbers) return { missing: NO_CONNTRACK, lasting: true };
  const { again, ...plain } = numbers;
  if (again && refusalOf(numbers) === undefined) return { numbers };
  const missing = refusalOf(plain);
  return missing === undefined ? { numbers: plain } : { missing, lasting: false };
}

/** Programs of other instructions, the numbers among them, have another. */
export function fastPathDigest(conntrack: ConntrackNumbers): string {
  const programs = Object.values(BUILDERS).map((build) =>
    build({ maps: ANY_MAPS, conntrack, families: FAMILIES }, ANY_END),
  );
  return hash('sha256', Buffer.concat([...programs, switchFrames(1)]));
}

/** Undefined: the programs can be loaded. */
function refusalOf(conntrack: ConntrackNumbers): string | undefined {
  let maps: FastPathMaps | undefined;
  try {
    maps = createMaps();
    for (const build of Object.values(BUILDERS))
      closeSync(loadProgram(SCHED_CLS, build({ maps, conntrack, families: FAMILIES }, ANY_END)));
    trySwitch();
    return undefined;
  } catch (error) {
    if (error instanceof SysError || error instanceof NetlinkError) return error.message;
    throw error;
  } finally {
    for (const fd of Object.values(maps ?? {})) closeSync(fd);
  }
}
