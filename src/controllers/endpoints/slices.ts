// Room controllers: EndpointSlices of Services that have a selector.
import { type EndpointSlice, objectKey, type Service } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { createQueue, isNamespaceTerminating } from '../queue.ts';
import { addressTypesOf, type PortGroup, portGroups } from './endpoint.ts';
import { hasSelector, selectedPods, watchSelections, watchZones } from './selection.ts';
import { MANAGED_BY, SERVICE_NAME, slicesOf, writeSlices } from './writer.ts';
import { wantsZoneHints, withZoneHints, zoneTraits } from './zone-hints.ts';

const MANAGER = 'endpointslice-controller.k8s.io';
export const HEADLESS = 'service.kubernetes.io/headless';

export function startEndpointSlices(context: ControllerContext): Controller {
  const { informers } = context;
  const events = context.recorder('endpoint-slice-controller');
  /** Services with topology-mode Auto, and what was last said of their hints. */
  const hinted = new Map<string, string>();
  const queue = createQueue('EndpointSlice', sync);
  watchSelections(informers, queue.add);
  watchZones(informers, queue.add);
  informers.of('Service').onChange(({ type, object }) => {
    if (type === 'delete') hinted.delete(objectKey(object));
  });
  informers.of('Node').onChange((change) => {
    if (change.type === 'update' && zoneTraits(change.old) === zoneTraits(change.object)) return;
    for (const key of hinted.keys()) queue.add(key);
  });
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
    const stored = slicesOf(context, key, MANAGER);
    let groups = portGroups(service, selectedPods(informers, service), (name) => nodes.get(name));
    if (wantsZoneHints(service)) groups = byZone(service, groups, stored);
    else hinted.delete(key);
    const of = { owner: service, service: service.metadata.name, labels: labelsOf(service) };
    try {
      await writeSlices(context, of, stored, groups);
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  }

  /** Each family for itself; what stands in the way is said once, as is that nothing does any more. */
  function byZone(service: Service, groups: readonly PortGroup[], stored: readonly EndpointSlice[]): PortGroup[] {
    return addressTypesOf(service).flatMap((addressType) => {
      const own = groups.filter((group) => group.addressType === addressType);
      const slices = stored.filter((slice) => slice.addressType === addressType);
      const shared = withZoneHints(own, slices, informers.of('Node').list());
      tell(service, addressType, 'problem' in shared ? shared.problem : undefined);
      return 'problem' in shared ? own.map(withoutHints) : [...shared];
    });
  }

  function tell(service: Service, addressType: string, problem: string | undefined): void {
    const key = objectKey(service);
    const said = hinted.get(key);
    const saying = `${addressType} ${problem}`;
    if (said?.includes(saying)) return;
    const others = (said ?? '').split('\n').filter((line) => line !== '' && !line.startsWith(addressType));
    hinted.set(key, [...others, saying].join('\n'));
    const [type, state] = problem === undefined ? (['Normal', 'Enabled'] as const) : (['Warning', 'Disabled'] as const);
    const words = problem ?? 'Topology Aware Hints has been enabled';
    events.event(service, type, `TopologyAwareHints${state}`, `${words}, addressType: ${addressType}`);
  }

  return { close: queue.close };
}

/** Those of trafficDistribution: the annotation takes its place. */
function withoutHints(group: PortGroup): PortGroup {
  return { ...group, endpoints: group.endpoints.map(({ hints: _, ...endpoint }) => endpoint) };
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
