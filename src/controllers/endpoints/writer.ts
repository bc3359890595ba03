// Room controllers: brings the EndpointSlices of one owner to a packing.
import { isDeepStrictEqual } from 'node:util';
import { isNotFound } from '../../objects/status.ts';
import type { EndpointSlice } from '../../objects/types.ts';
import type { ControllerContext } from '../controller.ts';
import { controllerRef, type Owner } from '../refs.ts';
import type { PortGroup } from './endpoint.ts';
import { type Packed, packSlices } from './pack.ts';

export const SERVICE_NAME = 'kubernetes.io/service-name';
export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';

/** From here on proxies measure how long a change takes to reach packets. */
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

export interface SliceOwner {
  readonly owner: Owner;
  /** Name of the Service that the slices are for. */
  readonly service: string;
  /** Labels of the slices, SERVICE_NAME and MANAGED_BY among them. */
  readonly labels: Readonly<Record<string, string>>;
}

/** The stored slices of a Service that this manager made and that are not on their way out. */
export function slicesOf({ informers }: ControllerContext, serviceKey: string, manager: string): EndpointSlice[] {
  return [...informers.of('EndpointSlice').byIndex('service', serviceKey)].filter(
    ({ metadata }) => metadata.labels?.[MANAGED_BY] === manager && !metadata.deletionTimestamp,
  );
}

/** Writes what differs, additions first, and returns when the informer shows it. */
export async function writeSlices(
  context: ControllerContext,
  of: SliceOwner,
  existing: readonly EndpointSlice[],
  groups: readonly PortGroup[],
): Promise<void> {
  const { slices, remove } = packSlices(existing, groups);
  const stale = slices.filter(({ slice, changed }) => changed || !isDeepStrictEqual(slice?.metadata.labels, of.labels));
  await Promise.all(stale.map((packed) => write(context, of, packed)));
  await Promise.all(remove.map((slice) => removeSlice(context, slice)));
}

async function write({ client, informers }: ControllerContext, of: SliceOwner, packed: Packed): Promise<void> {
  const { slice, addressType } = packed;
  const content = { addressType, ports: [...packed.ports], endpoints: [...packed.endpoints] };
  const annotations = { [TRIGGER_TIME]: new Date().toISOString() };
  const written = slice
    ? await client.update('EndpointSlice', {
        ...slice,
        ...content,
        metadata: {
          ...slice.metadata,
          labels: { ...of.labels },
          annotations: { ...slice.metadata.annotations, ...annotations },
        },
      })
    : await client.create('EndpointSlice', {
        metadata: {
          generateName: `${of.service}-`,
          namespace: of.owner.metadata.namespace!,
          labels: { ...of.labels },
          annotations,
          ownerReferences: [controllerRef(of.owner)],
        },
        ...content,
      });
  await informers.echo('EndpointSlice').written(written);
}

async function removeSlice({ client, informers }: ControllerContext, slice: EndpointSlice): Promise<void> {
  const { name, namespace, uid } = slice.metadata;
  try {
    await client.delete('EndpointSlice', name, namespace, { preconditions: { uid } });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  await informers.echo('EndpointSlice').deleted(slice);
}
