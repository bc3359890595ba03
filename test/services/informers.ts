// Informers over plain arrays, for tests: what is put in is told to the handlers at once.
import type { Change, Informer } from '../../src/cache/informer.ts';
import { type EndpointSlice, type Node, objectKey, type Service } from '../../src/objects/types.ts';

type Handler<T> = (change: Change<T>) => void;

export class ArrayInformer<T extends Service | EndpointSlice | Node> implements Informer<T> {
  readonly hasSynced = true;
  readonly synced = Promise.resolve();
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Set<Handler<T>>();

  put(...objects: T[]): void {
    for (const object of objects) {
      const old = this.#objects.get(objectKey(object));
      this.#objects.set(objectKey(object), object);
      const change: Change<T> = old ? { type: 'update', object, old } : { type: 'add', object };
      for (const handler of this.#handlers) handler(change);
    }
  }

  remove(key: string): void {
    const object = this.#objects.get(key);
    this.#objects.delete(key);
    if (object) for (const handler of this.#handlers) handler({ type: 'delete', object });
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): Iterable<T> {
    return this.#objects.values();
  }

  /** Only the index `service` of slices is asked for. */
  byIndex(_index: string, value: string): Iterable<T> {
    return [...this.#objects.values()].filter(({ metadata }) => {
      return `${metadata.namespace}/${metadata.labels?.['kubernetes.io/service-name']}` === value;
    });
  }

  onChange(handler: Handler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#objects.values()) handler({ type: 'add', object });
    return () => this.#handlers.delete(handler);
  }

  close(): void {}
}

const meta = (name: string, namespace?: string) => ({
  name,
  ...(namespace && { namespace }),
  uid: `uid-${name}`,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});

export function serviceOf(name: string, spec: Service['spec']): Service {
  return { apiVersion: 'v1', kind: 'Service', metadata: meta(name, 'shop'), spec };
}

type Endpoints = NonNullable<EndpointSlice['endpoints']>;

/** One slice of a Service; an address alone is a ready endpoint on the node `node`. */
export function sliceOf(
  service: string,
  family: 4 | 6,
  ports: NonNullable<EndpointSlice['ports']>,
  endpoints: readonly (string | Endpoints[number])[],
  suffix = 'a',
): EndpointSlice {
  const metadata = meta(`${service}-v${family}-${suffix}`, 'shop');
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': service } },
    addressType: family === 4 ? 'IPv4' : 'IPv6',
    ports,
    endpoints: endpoints.map((endpoint) =>
      typeof endpoint === 'string'
        ? { addresses: [endpoint], conditions: { ready: true }, nodeName: 'node' }
        : endpoint,
    ),
  };
}

export function nodeOf(name: string, addresses: readonly string[], podCIDRs: readonly string[]): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: meta(name),
    spec: { podCIDRs: [...podCIDRs] },
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
  };
}
