// Room kernel: Services at the sockets of one cgroup's processes: programs, and the maps in which they find endpoints.
import { closeSync, existsSync, mkdirSync, openSync, rmdirSync } from 'node:fs';
import type { IP } from '../addr/ip.ts';
import {
  attachToCgroup,
  CGROUP_SOCK_ADDR,
  createMap,
  deleteElement,
  hasElement,
  loadProgram,
  type MapEntry,
  programOfCgroup,
  updateElement,
  updateElements,
} from '../sys/bpf.ts';
import { closeOwned, own } from '../sys/descriptors.ts';
import { SysError } from '../sys/ffi.ts';
import {
  BACKEND_MAP,
  backendKey,
  backendValue,
  MEMBER_MAP,
  memberKey,
  REVERSE_MAP,
  reverseKey,
  SERVICE_MAP,
  SOCKET_HOOKS,
  type SocketHook,
  type SocketMaps,
  STICKY_MAP,
  serviceKey,
  serviceValue,
  socketProgram,
} from '../wire/bpf/socket-lb.ts';
import type { ConnectedSocket } from '../wire/netlink/sock-diag.ts';
import { cgroup2Root } from './cgroup.ts';

const SIZES = { services: 65_536, backends: 262_144, recent: 16_384 } as const;

export interface SocketEndpoint {
  readonly ip: IP;
  readonly port: number;
}

/** One address of a Service as programs know it. No endpoints: whoever connects is refused. */
export interface SocketFrontend {
  readonly ip: IP;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly endpoints: readonly SocketEndpoint[];
  readonly affinitySeconds?: number;
}

interface Held {
  readonly key: Uint8Array;
  readonly seconds: number;
  /** By their index. */
  readonly endpoints: readonly SocketEndpoint[];
}

export class SocketLb {
  readonly #maps: SocketMaps;
  readonly #held = new Map<string, Held>();
  /** Number of the program that is attached at each hook. */
  readonly #attached = new Map<SocketHook, number>();

  /** Throws a SysError when this kernel does not take the maps. */
  constructor() {
    this.#maps = createMaps();
    for (const fd of Object.values(this.#maps)) own(fd);
  }

  /**
   * From now on sockets that are made in the cgroup are translated by these maps, and by none that were there before; again, where others
   * have detached or replaced the programs since. Returns the hooks at which something was done. Throws a SysError.
   */
  attach(cgroup: string): SocketHook[] {
    const directory = openSync(cgroup, 'r');
    try {
      return (Object.keys(SOCKET_HOOKS) as SocketHook[]).filter((hook) => this.#attachTo(directory, hook));
    } finally {
      closeSync(directory);
    }
  }

  #attachTo(directory: number, hook: SocketHook): boolean {
    const known = this.#attached.get(hook);
    if (known !== undefined && programOfCgroup(directory, SOCKET_HOOKS[hook]) === known) return false;
    const program = load(hook, this.#maps);
    try {
      attachToCgroup(directory, program, SOCKET_HOOKS[hook]);
      this.#attached.set(hook, programOfCgroup(directory, SOCKET_HOOKS[hook]));
      return true;
    } finally {
      closeSync(program);
    }
  }

  /** Whether the programs sent this socket, or a datagram of it, to that endpoint. */
  hasTranslated({ cookie, ip, port }: Pick<ConnectedSocket, 'cookie' | 'ip' | 'port'>): boolean {
    return hasElement(this.#maps.reverse, reverseKey(cookie, ip, port), REVERSE_MAP.valueSize);
  }

  /**
   * Work for what is different alone, and at no moment is an endpoint named that is not the Service's, or its number more than there
   * are. Throws a SysError, E2BIG when a map is full.
   */
  put(frontend: SocketFrontend): void {
    const { ip, protocol, port, affinitySeconds: seconds = 0 } = frontend;
    const name = nameOf(frontend);
    const old = this.#held.get(name);
    const key = old?.key ?? serviceKey(ip, protocol, port);
    const before = old?.endpoints ?? [];
    const endpoints = placed(before, frontend.endpoints);
    const { services, backends, members } = this.#maps;
    const known = new Set(before.map(textOf));
    const joining: MapEntry[] = [];
    const placing: MapEntry[] = [];
    for (const [index, endpoint] of endpoints.entries()) {
      const there = before[index];
      const text = textOf(endpoint);
      if (!known.delete(text)) joining.push({ key: memberKey(key, endpoint.ip, endpoint.port), value: PRESENT });
      if (there && textOf(there) === text) continue;
      placing.push({ key: backendKey(key, index), value: backendValue(endpoint.ip, endpoint.port) });
    }
    updateElements(members, joining);
    updateElements(backends, placing);
    if (!old || old.seconds !== seconds || before.length !== endpoints.length) {
      updateElement(services, key, serviceValue(endpoints.length, seconds));
    }
    this.#held.set(name, { key, seconds, endpoints });
    for (let index = endpoints.length; index < before.length; index++) drop(backends, backendKey(key, index));
    for (const endpoint of before) {
      if (known.has(textOf(endpoint))) drop(members, memberKey(key, endpoint.ip, endpoint.port));
    }
  }

  remove(frontend: Pick<SocketFrontend, 'ip' | 'protocol' | 'port'>): void {
    const held = this.#held.get(nameOf(frontend));
    if (!held) return;
    const { key, endpoints } = held;
    drop(this.#maps.services, key);
    for (const [index, { ip, port }] of endpoints.entries()) {
      drop(this.#maps.backends, backendKey(key, index));
      drop(this.#maps.members, memberKey(key, ip, port));
    }
    this.#held.delete(nameOf(frontend));
  }

  /** What is attached goes on with its maps. */
  close(): void {
    for (const fd of Object.values(this.#maps)) closeOwned(fd);
  }
}

const PRESENT = Uint8Array.of(1, 0, 0, 0);

export function nameOf({ ip, protocol, port }: Pick<SocketFrontend, 'ip' | 'protocol' | 'port'>): string {
  return `${ip} ${protocol} ${port}`;
}

function textOf({ ip, port }: SocketEndpoint): string {
  return `${ip} ${port}`;
}

/** Those that had an index keep it as far as there is room, the others fill the holes. */
function placed(before: readonly SocketEndpoint[], wanted: readonly SocketEndpoint[]): readonly SocketEndpoint[] {
  const rest = new Map(wanted.map((endpoint) => [textOf(endpoint), endpoint]));
  const count = rest.size;
  const places = before.slice(0, count).map((endpoint) => {
    const stays = rest.get(textOf(endpoint));
    rest.delete(textOf(endpoint));
    return stays;
  });
  const others = rest.values();
  return Array.from({ length: count }, (_, i) => places[i] ?? others.next().value!);
}

function drop(map: number, key: Uint8Array): void {
  try {
    deleteElement(map, key);
  } catch (error) {
    if (!(error instanceof SysError) || error.code !== 'ENOENT') throw error;
  }
}

function load(hook: SocketHook, maps: SocketMaps): number {
  return loadProgram(CGROUP_SOCK_ADDR, socketProgram(hook, maps), SOCKET_HOOKS[hook]);
}

function createMaps(): SocketMaps {
  const opened: number[] = [];
  const make = (...[type, shape]: Parameters<typeof createMap>) => {
    const fd = createMap(type, shape);
    opened.push(fd);
    return fd;
  };
  try {
    return {
      services: make('hash', { ...SERVICE_MAP, maxEntries: SIZES.services }),
      backends: make('hash', { ...BACKEND_MAP, maxEntries: SIZES.backends }),
      members: make('hash', { ...MEMBER_MAP, maxEntries: SIZES.backends }),
      sticky: make('recent', { ...STICKY_MAP, maxEntries: SIZES.recent }),
      reverse: make('recent', { ...REVERSE_MAP, maxEntries: SIZES.recent }),
    };
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error;
  }
}

/** What this machine lacks for Services at the socket, or undefined: all is done once in a cgroup that nobody is in. Needs root. */
export function socketLbLacks(): string | undefined {
  const root = cgroup2Root();
  if (root === undefined) return 'there is no cgroup2 tree';
  const path = `${root}/pw-probe-${process.pid}`;
  let lb: SocketLb | undefined;
  try {
    mkdirSync(path);
    lb = new SocketLb();
    lb.attach(path);
    return undefined;
  } catch (error) {
    // Of ours, or of node:fs where the tree is read-only.
    if (error instanceof Error && 'code' in error) return error.message;
    throw error;
  } finally {
    lb?.close();
    if (existsSync(path)) rmdirSync(path);
  }
}
