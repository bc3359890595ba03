// Room api: what every cluster holds from the start: the system namespaces and the Service `kubernetes`.

import { familyOf } from '../addr/ip.ts';
import { nthAddress } from '../addr/prefix.ts';
import { Client } from '../client/client.ts';
import type { Transport } from '../client/transport.ts';
import { isAlreadyExists } from '../objects/status.ts';
import type { Draft, EndpointSlice, Endpoints, Kind, KindTypes } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { Store } from './store.ts';

/** Where the API server itself is reached from pods. */
export interface ApiEndpoint {
  readonly addresses: readonly string[];
  readonly port: number;
}

const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/** Makes them again when somebody deletes one; returns how to stop. */
export function keepSystemObjects(store: Store, ensure: () => Promise<void>): () => void {
  let stopped = false;
  const again = () =>
    void ensure().catch((error) => logger('api').error({ err: error }, 'Service kubernetes is missing'));
  for (const resource of ['services', 'endpoints', 'endpointslices.discovery.k8s.io']) {
    store.onApply(resource, (next, prev) => {
      const { name, namespace } = prev?.metadata ?? {};
      if (!next && name === 'kubernetes' && namespace === 'default') setImmediate(() => stopped || again());
    });
  }
  return () => {
    stopped = true;
  };
}

export async function ensureSystemObjects(
  transport: Transport,
  serviceCIDRs: readonly string[],
  endpoint: ApiEndpoint | undefined,
): Promise<void> {
  const client = new Client(transport);
  await Promise.all(NAMESPACES.map((name) => ensure(client, 'Namespace', { metadata: { name } })));
  await ensure(client, 'ServiceCIDR', { metadata: { name: 'kubernetes' }, spec: { cidrs: [...serviceCIDRs] } });
  const clusterIPs = serviceCIDRs.slice(0, 1).map((cidr) => nthAddress(cidr, 1));
  const metadata = {
    name: 'kubernetes',
    namespace: 'default',
    labels: { component: 'apiserver', provider: 'kubernetes' },
  };
  await ensure(client, 'Service', {
    metadata,
    spec: {
      clusterIP: clusterIPs[0]!,
      clusterIPs,
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: endpoint?.port ?? 6443 }],
    },
  });
  if (endpoint) await Promise.all([ensureEndpoints(client, endpoint), ensureSlice(client, endpoint)]);
}

function ensureEndpoints(client: Client, { addresses, port }: ApiEndpoint): Promise<void> {
  const endpoints: Draft<Endpoints> = {
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
    },
    subsets: [{ addresses: addresses.map((ip) => ({ ip })), ports: [{ name: 'https', port, protocol: 'TCP' }] }],
  };
  return ensure(client, 'Endpoints', endpoints, { subsets: endpoints.subsets });
}

function ensureSlice(client: Client, { addresses, port }: ApiEndpoint): Promise<void> {
  const slice: Draft<EndpointSlice> = {
    metadata: { name: 'kubernetes', namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: familyOf(addresses[0] ?? '') === 6 ? 'IPv6' : 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  };
  return ensure(client, 'EndpointSlice', slice, { endpoints: slice.endpoints, ports: slice.ports });
}

/** Creates it, or brings what `patch` names up to date when it is there from an earlier run. */
async function ensure<K extends Kind>(
  client: Client,
  kind: K,
  object: Draft<KindTypes[K]>,
  patch?: object,
): Promise<void> {
  try {
    await client.create(kind, object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const { name, namespace } = object.metadata;
    if (patch) await client.patch(kind, { name: name!, namespace }, patch);
  }
}
