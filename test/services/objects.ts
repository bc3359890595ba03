// Kubernetes objects for the tests of Services.
import type { EndpointSlice, Node, Service } from '../../src/objects/types.ts';

/** The index by which the proxy finds the slices of a Service. */
export const BY_SERVICE = {
  service: ({ metadata }: EndpointSlice) => [
    `${metadata.namespace}/${metadata.labels?.['kubernetes.io/service-name']}`,
  ],
};

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
