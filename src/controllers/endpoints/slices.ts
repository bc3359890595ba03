// Room controllers: EndpointSlices of Services that have a selector.
import type { Service } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { createQueue, isNamespaceTerminating } from '../queue.ts';
import { portGroups } from './endpoint.ts';
import { hasSelector, selectedPods, watchSelections, watchZones } from './selection.ts';
import { MANAGED_BY, SERVICE_NAME, slicesOf, writeSlices } from './writer.ts';

const MANAGER = 'endpointslice-controller.k8s.io';
export const HEADLESS = 'service.kubernetes.io/headless';

export function startEndpointSlices(context: ControllerContext): Controller {
  const { informers } = context;
  const queue = createQueue('EndpointSlice', sync);
  watchSelections(informers, queue.add);
  watchZones(informers, queue.add);
  informers.of('EndpointSlice').onChange((change) => {
    const labels = change.object.metadata.labels;
    if (change.type === 'add' || labels?.[MANAGED_BY] !== MANAGER) return;
    queue.add(`${change.object.metadata.namespace}/${labels[SERVICE_NAME]}`);
  });

  /** The slices of a Service that is gone are the garbage collector's. */
  async function sync(key: string): Promise<void> {
    const service = informers.of('Service').get(key);
    if (!service || !hasSelector(service) || service.metadata.deletionTimestamp) return;
    const nodes = informers.of('Node');
    const groups = portGroups(service, selectedPods(informers, service), (name) => nodes.get(name));
    const of = { owner: service, service: service.metadata.name, labels: labelsOf(service) };
    try {
      await writeSlices(context, of, slicesOf(context, key, MANAGER), groups);
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  }

  return { close: queue.close };
}

/** The Service's own labels, and what marks the slice as ours. */
function labelsOf({ metadata, spec }: Service): Record<string, string> {
  const { [HEADLESS]: _, ...labels } = metadata.labels ?? {};
  return {
    ...labels,
    [SERVICE_NAME]: metadata.name,
    [MANAGED_BY]: MANAGER,
    ...(spec.clusterIP === 'None' && { [HEADLESS]: '' }),
  };
}
