// Room dns: the cluster's objects, as they change, into the records.
import type { Informer } from '../cache/informer.ts';
import { type EndpointSlice, type Namespace, objectKey, type Service } from '../objects/types.ts';
import type { ClusterRecords } from './records.ts';

export interface DnsInformers {
  readonly services: Informer<Service>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly namespaces: Informer<Namespace>;
}

/** When endpoints.kubernetes.io/last-change-trigger-time says that the change of the endpoints was made. */
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

/**
 * Keeps `records` up to date until the returned function is called. When the API server is away, they stay as they are.
 * `onProgrammed` is told how many seconds after a change of a headless Service's endpoints their names were right.
 */
export function watchRecords(
  informers: DnsInformers,
  records: ClusterRecords,
  onProgrammed: (seconds: number) => void = () => {},
): () => void {
  const noteDelay = (slice: EndpointSlice) => {
    const { labels, annotations, namespace } = slice.metadata;
    const changedAt = Date.parse(annotations?.[TRIGGER_TIME] ?? '');
    const { spec } = informers.services.get(`${namespace}/${labels?.['kubernetes.io/service-name']}`) ?? {};
    // As CoreDNS counts them: of other Services the names do not follow the endpoints.
    if (spec?.clusterIP !== 'None' || !spec.selector || Number.isNaN(changedAt)) return;
    onProgrammed(Math.max(0, Date.now() - changedAt) / 1000);
  };
  const stops = [
    informers.namespaces.onChange(({ type, object }) => {
      if (type !== 'update') records.setNamespace(object.metadata.name, type === 'add');
    }),
    informers.services.onChange(({ type, object }) => {
      records.setService(objectKey(object), type === 'delete' ? undefined : object);
    }),
    informers.endpointSlices.onChange(({ type, object }) => {
      if (type === 'delete') records.removeSlice(objectKey(object));
      else records.setSlice(object);
      if (type !== 'delete') noteDelay(object);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

export async function allSynced(informers: DnsInformers): Promise<void> {
  await Promise.all([informers.services.synced, informers.endpointSlices.synced, informers.namespaces.synced]);
}
