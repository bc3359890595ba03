// Room dns: the cluster's objects, as they change, into the records.
import type { Informer } from '../cache/informer.ts';
import { type EndpointSlice, type Namespace, objectKey, type Service } from '../objects/types.ts';
import type { ClusterRecords } from './records.ts';

export interface DnsInformers {
  readonly services: Informer<Service>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly namespaces: Informer<Namespace>;
}

/** Keeps `records` up to date until the returned function is called. When the API server is away, they stay as they are. */
export function watchRecords(informers: DnsInformers, records: ClusterRecords): () => void {
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
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

export async function allSynced(informers: DnsInformers): Promise<void> {
  await Promise.all([informers.services.synced, informers.endpointSlices.synced, informers.namespaces.synced]);
}
