// Room controllers: Endpoints, the older form of EndpointSlices, for the clients that still read them.
import { isDeepStrictEqual } from 'node:util';
import { isNotFound } from '../../objects/status.ts';
import type { Endpoints, Pod, Service } from '../../objects/types.ts';
import { objectKey } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { isPodReady } from '../pods.ts';
import { createQueue, isNamespaceTerminating } from '../queue.ts';
import { addressTypesOf, hostnameOf, podAddresses, portsKey, portsOf } from './endpoint.ts';
import { hasSelector, selectedPods, watchSelections } from './selection.ts';
import { HEADLESS } from './slices.ts';

export type Subset = NonNullable<Endpoints['subsets']>[number];
type Address = NonNullable<Subset['addresses']>[number];

export const MANAGED_BY_ENDPOINTS = 'endpoints.kubernetes.io/managed-by';
/** Readers cannot be expected to take more in one object. */
const MOST_ADDRESSES = 1000;

export function startEndpoints(context: ControllerContext): Controller {
  const { client, informers } = context;
  const stored = informers.of('Endpoints');
  const echo = informers.echo('Endpoints');
  const queue = createQueue('Endpoints', sync);
  watchSelections(informers, queue.add);
  stored.onChange((change) => {
    if (change.type !== 'add') queue.add(objectKey(change.object));
  });

  async function sync(key: string): Promise<void> {
    const service = informers.of('Service').get(key);
    const before = stored.get(key);
    if (!service) return before?.metadata.labels?.[MANAGED_BY_ENDPOINTS] ? remove(before) : undefined;
    if (!hasSelector(service) || service.metadata.deletionTimestamp) return;
    const subsets = subsetsOf(service, selectedPods(informers, service));
    const labels = labelsOf(service);
    if (before && isDeepStrictEqual([before.subsets ?? [], before.metadata.labels], [subsets, labels])) return;
    await write(service, before, { subsets, labels });
  }

  async function write(service: Service, before: Endpoints | undefined, content: Content): Promise<void> {
    const { subsets, labels } = content;
    const { name, namespace } = service.metadata;
    try {
      const written = before
        ? await client.update('Endpoints', { ...before, subsets, metadata: { ...before.metadata, labels } })
        : await client.create('Endpoints', { metadata: { name, namespace: namespace!, labels }, subsets });
      await echo.written(written);
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  }

  async function remove({ metadata }: Endpoints): Promise<void> {
    try {
      await client.delete('Endpoints', metadata.name, metadata.namespace, { preconditions: { uid: metadata.uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  return { close: queue.close };
}

interface Content {
  readonly subsets: Subset[];
  readonly labels: Record<string, string>;
}

function labelsOf({ metadata, spec }: Service): Record<string, string> {
  const headless = spec.clusterIP === 'None' && { [HEADLESS]: '' };
  return { ...metadata.labels, [MANAGED_BY_ENDPOINTS]: 'endpoint-controller', ...headless };
}

/** One subset for each list of ports, of the Service's first family; pods that are being deleted count only if not-ready ones are published. */
export function subsetsOf(service: Service, pods: readonly Pod[]): Subset[] {
  const subsets = new Map<string, Subset>();
  const publish = !!service.spec.publishNotReadyAddresses;
  const [family = 'IPv4'] = addressTypesOf(service);
  const present = pods.filter((pod) => publish || !pod.metadata.deletionTimestamp);
  const addresses = present.flatMap((pod) => podAddresses(pod, family).map((ip) => ({ ip, pod })));
  addresses.sort((a, b) => (a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : a.pod.metadata.uid < b.pod.metadata.uid ? -1 : 1));
  for (const { ip, pod } of addresses.slice(0, MOST_ADDRESSES)) {
    const ports = portsOf(service, pod).map(({ name, ...port }) => ({
      ...(name && { name }),
      ...port,
      port: port.port!,
    }));
    if (ports.length === 0 && service.spec.ports?.length) continue;
    const key = portsKey(ports);
    const subset = subsets.get(key) ?? (ports.length > 0 ? { ports } : {});
    subsets.set(key, subset);
    const list = publish || isPodReady(pod) ? 'addresses' : 'notReadyAddresses';
    subset[list] ??= [];
    subset[list].push(addressOf(service, pod, ip));
  }
  return [...subsets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, subset]) => subset);
}

function addressOf(service: Service, pod: Pod, ip: string): Address {
  const { name, namespace, uid } = pod.metadata;
  const hostname = hostnameOf(service, pod);
  return {
    ip,
    ...(pod.spec.nodeName && { nodeName: pod.spec.nodeName }),
    ...(hostname && { hostname }),
    targetRef: { kind: 'Pod', namespace: namespace!, name, uid },
  };
}
