// Room api: node ports, the Services' own and those of their health checks: requested or given out.
import type { KubeObject, Service } from '../objects/types.ts';
import { objectKey } from '../objects/types.ts';
import type { Store } from './store.ts';

/** The lower part of the range is left for those who ask for a particular port (KEP-3668). */
function lowerBand(size: number): number {
  if (size < 16) return 0;
  return Math.min(128, Math.max(16, Math.floor(size / 32)));
}

/** A number belongs to one Service, which may use it for several protocols. */
export class NodePorts {
  readonly #range: readonly [number, number];
  readonly #holders = new Map<number, string>();
  #next: number;

  constructor(store: Store, range: readonly [number, number]) {
    this.#range = range;
    this.#next = range[0] + lowerBand(range[1] - range[0] + 1);
    store.onApply('services', (next, prev) => {
      for (const port of portsOf(prev)) this.#holders.delete(port);
      for (const port of portsOf(next)) this.#holders.set(port, objectKey(next!));
    });
  }

  /** Why the Service cannot have this port; undefined when it can. */
  refusal(port: number, key: string): string | undefined {
    const [low, high] = this.#range;
    if (port < low || port > high) {
      return `provided port is not in the valid range. The range of valid ports is ${low}-${high}`;
    }
    const holder = this.#holders.get(port);
    return holder !== undefined && holder !== key ? 'provided port is already allocated' : undefined;
  }

  /** The next after the one given out last, not among `taken`; undefined when the range is full. */
  free(taken: ReadonlySet<number>): number | undefined {
    const [low, high] = this.#range;
    const band = low + lowerBand(high - low + 1);
    const isFree = (port: number) => !this.#holders.has(port) && !taken.has(port);
    for (let tried = band; tried <= high; tried++) {
      const port = this.#next;
      this.#next = port >= high ? band : port + 1;
      if (isFree(port)) return port;
    }
    for (let port = low; port < band; port++) if (isFree(port)) return port;
    return undefined;
  }
}

function portsOf(object: KubeObject | undefined): number[] {
  const { ports = [], healthCheckNodePort } = (object as Service | undefined)?.spec ?? {};
  return [...ports.map(({ nodePort }) => nodePort), healthCheckNodePort].filter((port): port is number => !!port);
}
