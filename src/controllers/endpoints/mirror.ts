// Room controllers: Endpoints that users write for a Service without a selector, mirrored to the EndpointSlices that everything reads.
import { familyOf } from '../../addr/ip.ts';
import { type Endpoints, objectKey } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { createQueue, isNamespaceTerminating } from '../queue.ts';
import type { AddressType, Endpoint, EndpointPort, PortGroup } from './endpoint.ts';
import { portsKey } from './endpoint.ts';
import { MANAGED_BY_ENDPOINTS, type Subset } from './legacy.ts';
import { hasSelector } from './selection.ts';
import { MANAGED_BY, SERVICE_NAME, slicesOf, writeSlices } from './writer.ts';

const MANAGER = 'endpointslicemirroring-controller.k8s.io';
const SKIP = 'endpointslice.kubernetes.io/skip-mirror';
const LEADER = 'control-plane.alpha.kubernetes.io/leader';

export function startEndpointSliceMirroring(context: ControllerContext): Controller {
  const { informers } = context;
  const endpoints = informers.of('Endpoints');
  const queue = createQueue('EndpointSliceMirroring', sync);
  endpoints.onChange(({ object }) => queue.add(objectKey(object)));
  informers.of('Service').onChange(({ object }) => queue.add(objectKey(object)));

  async function sync(key: string): Promise<void> {
    const object = endpoints.get(key);
    const service = informers.of('Service').get(key);
    const existing = slicesOf(context, key, MANAGER);
    const mirrored = object && service && !hasSelector(service) && isMirrored(object);
    if (!mirrored && existing.length === 0) return;
    const groups = mirrored ? groupsOf(object.subsets ?? []) : [];
    const owner = object ?? service;
    if (!owner) return;
    const { [SKIP]: _, ...labels } = object?.metadata.labels ?? {};
    const name = owner.metadata.name;
    const of = { owner, service: name, labels: { ...labels, [SERVICE_NAME]: name, [MANAGED_BY]: MANAGER } };
    try {
      await writeSlices(context, of, existing, groups);
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  }

  return { close: queue.close };
}

function isMirrored({ metadata }: Endpoints): boolean {
  const { labels, annotations, deletionTimestamp } = metadata;
  if (deletionTimestamp || annotations?.[LEADER] !== undefined) return false;
  return labels?.[SKIP] !== 'true' && labels?.[MANAGED_BY_ENDPOINTS] === undefined;
}

/** One group for each family and list of ports. */
export function groupsOf(subsets: readonly Subset[]): PortGroup[] {
  const groups = new Map<string, { addressType: AddressType; ports: EndpointPort[]; endpoints: Endpoint[] }>();
  for (const { addresses = [], notReadyAddresses = [], ports: listed = [] } of subsets) {
    const ports = listed.map((port) => ({ ...port, name: port.name ?? '', protocol: port.protocol ?? 'TCP' }));
    const all = [
      ...addresses.map((address) => ({ address, ready: true })),
      ...notReadyAddresses.map((address) => ({ address, ready: false })),
    ];
    for (const { address, ready } of all) {
      const addressType = familyOf(address.ip) === 4 ? 'IPv4' : 'IPv6';
      const key = `${addressType} ${portsKey(ports)}`;
      const group = groups.get(key) ?? { addressType, ports, endpoints: [] };
      groups.set(key, group);
      const { ip, ...rest } = address;
      group.endpoints.push({ addresses: [ip], conditions: { ready }, ...rest });
    }
  }
  return [...groups.values()];
}
