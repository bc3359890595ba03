// Room objects: columns of ConfigMaps, Secrets, ServiceAccounts, Events and Leases.
import type { ConfigMap, Event, Lease, ObjectRef, Secret, ServiceAccount } from '../types.ts';
import { since } from './age.ts';
import { AGE, type Column, column, INTEGER, NAME, WIDE } from './column.ts';

function size(map: object | undefined): number {
  return Object.keys(map ?? {}).length;
}

export const configMapColumns: readonly Column<ConfigMap>[] = [
  NAME,
  column('Data', ({ data, binaryData }) => size(data) + size(binaryData), INTEGER),
  AGE,
];

export const secretColumns: readonly Column<Secret>[] = [
  NAME,
  column('Type', ({ type }) => type ?? ''),
  column('Data', ({ data }) => size(data), INTEGER),
  AGE,
];

export const serviceAccountColumns: readonly Column<ServiceAccount>[] = [
  NAME,
  column('Secrets', ({ secrets }) => secrets?.length ?? 0, INTEGER),
  AGE,
];

export const leaseColumns: readonly Column<Lease>[] = [
  NAME,
  column('Holder', ({ spec }) => spec?.holderIdentity ?? ''),
  AGE,
];

function lastSeen({ series, lastTimestamp, eventTime, firstTimestamp }: Event): string | undefined {
  return series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? firstTimestamp;
}

function involved({ involvedObject }: Event): string {
  const { kind = '', name } = (involvedObject ?? {}) as Partial<ObjectRef>;
  return name ? `${kind.toLowerCase()}/${name}` : kind.toLowerCase();
}

function source({ source: from, reportingComponent, reportingInstance }: Event): string {
  const component = from?.component ?? reportingComponent ?? '';
  const host = from?.host ?? reportingInstance;
  return host ? `${component}, ${host}` : component;
}

export const eventColumns: readonly Column<Event>[] = [
  column('Last Seen', (event, now) => since(lastSeen(event), now)),
  column('Type', ({ type }) => type ?? ''),
  column('Reason', ({ reason }) => reason ?? ''),
  column('Object', involved),
  column('Subobject', ({ involvedObject }) => involvedObject?.fieldPath ?? '', WIDE),
  column('Source', source, WIDE),
  column('Message', ({ message }) => message?.trim() ?? ''),
  column('First Seen', ({ firstTimestamp, eventTime }, now) => since(firstTimestamp ?? eventTime, now), WIDE),
  column('Count', ({ series, count }) => series?.count || count || 1, { ...INTEGER, wide: true }),
  column('Name', ({ metadata }) => metadata.name, { ...WIDE, format: 'name' }),
];
