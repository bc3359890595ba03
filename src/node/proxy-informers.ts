// Room node: what the proxy watches.
import type { Informer } from '../cache/informer.ts';
import { createInformers } from '../cache/informers.ts';
import type { Client } from '../client/client.ts';
import type { EndpointSlice, Node, Service, ServiceCIDR } from '../objects/types.ts';

/** EndpointSlices need the index `service` (namespace/name of their Service). */
export interface ProxyInformers {
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
  readonly nodes: Informer<Node>;
  /** Not waited for: other API servers may not have them. */
  readonly serviceCIDRs?: Informer<ServiceCIDR>;
}

const SERVICE_OF_SLICE = 'kubernetes.io/service-name';

/** For a proxy that shares them with nobody. */
export function ownInformers(client: Client): ProxyInformers & { close(): void } {
  const informers = createInformers(client);
  return {
    services: informers.of('Service'),
    slices: informers.of('EndpointSlice'),
    nodes: informers.of('Node'),
    close: () => informers.close(),
  };
}

export function serviceOf({ metadata: { namespace, labels } }: EndpointSlice): string | undefined {
  const name = labels?.[SERVICE_OF_SLICE];
  return name && `${namespace}/${name}`;
}
