// Room node: Services at the pods' sockets (proxy mode ebpf): the frontends that nftables has too, put into the maps of the programs.
import { nameOf, type SocketFrontend, SocketLb } from '../kernel/socket-lb.ts';
import { logger } from '../observe/log.ts';
import { type Frontend, fitsSockets } from '../plan/frontends.ts';
import { SysError } from '../sys/ffi.ts';

const log = logger('proxy');

/**
 * Whatever is not in the maps goes as it is to nftables, which has every Service: so nothing is lost where a map is full, and
 * where a Service wants more than an endpoint.
 */
export class SocketServices {
  readonly #cgroup: string;
  readonly #lb = new SocketLb();
  /** By Service. */
  readonly #frontends = new Map<string, readonly SocketFrontend[]>();
  /** An address that two Services claim is that of the last. */
  readonly #owners = new Map<string, string>();
  #attached = false;

  /** `cgroup`: path of the directory whose processes are the pods'. */
  constructor(cgroup: string) {
    this.#cgroup = cgroup;
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
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      log.error({ err: error, service }, 'a Service is not whole in the maps of sockets');
    }
    if (wanted.length > 0) this.#frontends.set(service, wanted);
    else this.#frontends.delete(service);
  }

  /** Once the maps are full: an earlier agent's programs have served until now. */
  attach(): void {
    if (!this.#attached) this.#lb.attach(this.#cgroup);
    this.#attached = true;
  }

  /** Programs and maps stay at work. */
  close(): void {
    this.#lb.close();
  }
}

function socketFrontend(frontend: Frontend): SocketFrontend[] {
  const { ip, protocol, port, inside, affinitySeconds } = frontend;
  if (!fitsSockets(frontend) || protocol === 'sctp') return [];
  return [{ ip, protocol, port, endpoints: inside.endpoints, ...(affinitySeconds && { affinitySeconds }) }];
}
