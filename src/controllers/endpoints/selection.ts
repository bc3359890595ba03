// Room controllers: which pods a Service selects, which Services a pod concerns, and what of a pod matters to them.
import { isDeepStrictEqual } from 'node:util';
import { type Informers, labelIndexValue } from '../../cache/informers.ts';
import { matchesSelector } from '../../objects/select.ts';
import { objectKey, type Pod, type Service } from '../../objects/types.ts';
import { isPodReady, isPodTerminal } from '../pods.ts';
import { ZONE } from './endpoint.ts';

/** Its endpoints are ours to find: not an ExternalName, and not one whose endpoints a user writes. */
export function hasSelector(service: Service): boolean {
  return service.spec.type !== 'ExternalName' && Object.keys(service.spec.selector ?? {}).length > 0;
}

/** Selected pods of the Service's namespace, in whatever state. */
export function selectedPods(informers: Informers, { metadata, spec }: Service): Pod[] {
  const [first] = Object.entries(spec.selector ?? {});
  if (!first) return [];
  const candidates = informers.of('Pod').byIndex('label', labelIndexValue(metadata.namespace, ...first));
  return [...candidates].filter((pod) => matchesSelector({ matchLabels: spec.selector! }, pod.metadata.labels));
}

/** Calls back with the key of each Service whose endpoints may have changed, because of itself or of its pods. */
export function watchSelections(informers: Informers, changed: (serviceKey: string) => void): void {
  informers.of('Service').onChange(({ object }) => changed(objectKey(object)));
  informers.of('Pod').onChange((change) => {
    const pods = change.type === 'update' ? [change.old, change.object] : [change.object];
    if (change.type === 'update' && isDeepStrictEqual(traits(change.old), traits(change.object))) return;
    const keys = new Set(pods.flatMap((pod) => servicesOf(informers, pod)).map(objectKey));
    for (const key of keys) changed(key);
  });
}

/** Calls back with the key of each Service that has a pod on a node whose zone is another than it was. */
export function watchZones(informers: Informers, changed: (serviceKey: string) => void): void {
  informers.of('Node').onChange((change) => {
    const { name, labels } = change.object.metadata;
    const before = change.type === 'update' ? change.old.metadata.labels?.[ZONE] : undefined;
    if (change.type === 'delete' || before === labels?.[ZONE]) return;
    const pods = [...informers.of('Pod').byIndex('node', name)];
    for (const key of new Set(pods.flatMap((pod) => servicesOf(informers, pod)).map(objectKey))) changed(key);
  });
}

function servicesOf(informers: Informers, { metadata }: Pod): Service[] {
  const services = informers.of('Service');
  return Object.entries(metadata.labels ?? {}).flatMap(([name, value]) =>
    [...services.byIndex('selector', labelIndexValue(metadata.namespace, name, value))].filter(({ spec }) =>
      matchesSelector({ matchLabels: spec.selector! }, metadata.labels),
    ),
  );
}

/** All that endpoints depend on and that can change in a pod's life. */
function traits(pod: Pod) {
  const { metadata, spec, status } = pod;
  const deleting = metadata.deletionTimestamp !== undefined;
  return [metadata.labels, deleting, spec.nodeName, status?.podIPs, status?.podIP, isPodReady(pod), isPodTerminal(pod)];
}
