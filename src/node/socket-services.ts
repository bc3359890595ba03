// Room node: Services at the pods' sockets (proxy mode ebpf): the frontends that nftables has too, put into the maps of the programs.
import { nameOf, type SocketFrontend, SocketLb } from '../kernel/socket-lb.ts';
import { endUdpSockets } from '../kernel/udp-sockets.ts';
import { logger } from '../observe/log.ts';
import { type Frontend, fitsSockets } from '../plan/frontends.ts';
import { SysError } from '../sys/ffi.ts';

const log = logger('proxy');

export interface SocketServicesOptions {
  /** Path of the directory whose processes are the pods'. */
  readonly cgroup: string;
  /** Paths of the network namespaces in which they are. */
  readonly namespaces: () => Iterable<string>;
}

/** Programs are attached without a word: they are asked for. */
const LOOK_MS = 400;

/**
 * Whatever is not in the maps goes as it is to nftables, which has every Service: so nothing is lost where a map is full, and
 * where a Service wants more than an endpoint.
 */
export class SocketServices {
  readonly #options: SocketServicesOptions;
  readonly #lb = new SocketLb();
  /** By Service. */
  readonly #frontends = new Map<string, readonly SocketFrontend[]>();
  /** An address that two Services claim is that of the last. */
  readonly #owners = new Map<string, string>();
  /** UDP endpoints, `address port`, that some Service has lost since the last look at sockets. */
  readonly #gone = new Set<string>();
  #looking: NodeJS.Timeout | undefined;
  #problem: string | undefined;

  constructor(options: SocketServicesOptions) {
    this.#options = options;
  }

  /** All frontends of a Service as they are now. */
  set(service: string, frontends: readonly Frontend[]): void {
    const wanted = frontends.flatMap(socketFrontend);
    const names = new Set(wanted.map(nameOf));
    try {
      for (const frontend of wanted) {
        this.#owners.set(nameOf(frontend), service);
        this.#lb.put(frontend);
      }
      for (const old of this.#frontends.get(service) ?? []) {
        if (names.has(nameOf(old)) || this.#owners.get(nameOf(old)) !== service) continue;
        this.#owners.delete(nameOf(old));
        this.#lb.remove(old);
      }
      for (const gone of goneEndpoints(this.#frontends.get(service) ?? [], wanted)) this.#gone.add(gone);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      log.error({ err: error, service }, 'a Service is not whole in the maps of sockets');
    }
    if (wanted.length > 0) this.#frontends.set(service, wanted);
    else this.#frontends.delete(service);
  }

  /** Once the maps are full: an earlier agent's programs have served until now. From then on what others detach is put back. */
  attach(): void {
    this.#endStaleSockets();
    if (this.#looking) return;
    this.#lb.attach(this.#options.cgroup);
    this.#looking = setInterval(() => this.#attachAgain(), LOOK_MS).unref();
  }

  #attachAgain(): void {
    try {
      const hooks = this.#lb.attach(this.#options.cgroup);
      if (hooks.length > 0) log.warn({ hooks }, 'programs of Services that others had detached are attached again');
      this.#problem = undefined;
    } catch (error) {
      const problem = String(error);
      if (problem !== this.#problem) log.error({ err: error }, 'programs of Services cannot be attached again yet');
      this.#problem = problem;
    }
  }

  /** A connected UDP socket asks nobody where its endpoint is: without this it would send to one that is gone for ever. */
  #endStaleSockets(): void {
    if (this.#gone.size === 0) return;
    const gone = new Set(this.#gone);
    this.#gone.clear();
    let count = 0;
    for (const netns of this.#options.namespaces()) {
      try {
        count += endUdpSockets(
          netns,
          (socket) => gone.has(`${socket.ip} ${socket.port}`) && this.#lb.hasTranslated(socket),
        );
      } catch (error) {
        // The namespace may be going, and the kernel may not be able to: then they stay as they are.
        log.debug({ err: error, netns }, 'UDP sockets of endpoints that are gone could not be ended');
      }
    }
    if (count > 0) log.debug({ count }, 'ended UDP sockets whose endpoints are gone');
  }

  /** Programs and maps stay at work. */
  close(): void {
    clearInterval(this.#looking);
    this.#lb.close();
  }
}

function goneEndpoints(before: readonly SocketFrontend[], now: readonly SocketFrontend[]): string[] {
  const udp = (frontends: readonly SocketFrontend[]) =>
    frontends
      .filter(({ protocol }) => protocol === 'udp')
      .flatMap(({ endpoints }) => endpoints.map(({ ip, port }) => `${ip} ${port}`));
  const kept = new Set(udp(now));
  return udp(before).filter((endpoint) => !kept.has(endpoint));
}

function socketFrontend(frontend: Frontend): SocketFrontend[] {
  const { ip, protocol, port, inside, affinitySeconds } = frontend;
  if (!fitsSockets(frontend) || protocol === 'sctp') return [];
  return [{ ip, protocol, port, endpoints: inside.endpoints, ...(affinitySeconds && { affinitySeconds }) }];
}
