// Room controllers: endpoints packed into EndpointSlices so that little changes when little changes.
import { isDeepStrictEqual } from 'node:util';
import type { EndpointSlice } from '../../objects/types.ts';
import { type AddressType, type Endpoint, type EndpointPort, type PortGroup, portsKey } from './endpoint.ts';

/** Content of one slice; `slice` is the stored one that holds it, undefined for one to be created. */
export interface Packed {
  readonly slice: EndpointSlice | undefined;
  readonly addressType: AddressType;
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
  /** Differs from what is stored. */
  readonly changed: boolean;
}

export interface Packing {
  readonly slices: readonly Packed[];
  readonly remove: readonly EndpointSlice[];
}

interface Bin {
  slice: EndpointSlice | undefined;
  readonly group: PortGroup;
  readonly endpoints: Endpoint[];
  changed: boolean;
}

/**
 * Endpoints stay in the slice that they are in. New ones fill slices that change anyway, then the fullest unchanged slice that has room
 * for all the rest, then new slices. A slice that nobody needs any more is taken for one that is to be created.
 */
export function packSlices(existing: readonly EndpointSlice[], groups: readonly PortGroup[], limit = 100): Packing {
  const byKey = new Map<string, EndpointSlice[]>();
  for (const slice of existing) {
    const key = groupKey(slice.addressType, slice.ports);
    byKey.set(key, [...(byKey.get(key) ?? []), slice]);
  }
  const free: EndpointSlice[] = [];
  const bins = groups.flatMap((group) => {
    const key = groupKey(group.addressType, group.ports);
    const packed = packGroup(byKey.get(key) ?? [], group, limit);
    byKey.delete(key);
    free.push(...packed.free);
    return packed.bins;
  });
  free.push(...[...byKey.values()].flat());
  return { slices: bins.map((bin) => finish(bin, free)), remove: free };
}

function groupKey(addressType: string, ports: readonly EndpointPort[] | undefined): string {
  return `${addressType} ${portsKey(ports)}`;
}

function packGroup(slices: readonly EndpointSlice[], group: PortGroup, limit: number) {
  const left = new Map(group.endpoints.map((endpoint) => [endpointKey(endpoint), endpoint]));
  const bins = slices.map((slice) => kept(slice, group, left));
  const rest = [...left.values()];
  for (const bin of bins.filter(({ changed }) => changed).sort((a, b) => b.endpoints.length - a.endpoints.length)) {
    bin.endpoints.push(...rest.splice(0, Math.max(0, limit - bin.endpoints.length)));
  }
  while (rest.length > 0) {
    const fitting = bins
      .filter(({ endpoints }) => endpoints.length + rest.length <= limit)
      .sort((a, b) => b.endpoints.length - a.endpoints.length)[0];
    const bin = fitting ?? { slice: undefined, group, endpoints: [], changed: true };
    if (!fitting) bins.push(bin);
    bin.endpoints.push(...rest.splice(0, limit));
    bin.changed = true;
  }
  if (group.endpoints.length === 0 && bins.length === 0) {
    bins.push({ slice: undefined, group, endpoints: [], changed: true });
  }
  const needed = bins.filter(({ endpoints }, i) => endpoints.length > 0 || (group.endpoints.length === 0 && i === 0));
  return { bins: needed, free: bins.filter((bin) => !needed.includes(bin)).map(({ slice }) => slice!) };
}

/** What stays in a stored slice, as it shall be now; taken out of `left`. */
function kept(slice: EndpointSlice, group: PortGroup, left: Map<string, Endpoint>): Bin {
  const endpoints: Endpoint[] = [];
  let changed = false;
  for (const endpoint of slice.endpoints ?? []) {
    const key = endpointKey(endpoint);
    const wanted = left.get(key);
    if (wanted) endpoints.push(wanted);
    left.delete(key);
    changed ||= !isDeepStrictEqual(wanted, endpoint);
  }
  return { slice, group, endpoints, changed };
}

/** Pods of the node's own network share an address. */
function endpointKey({ addresses, targetRef }: Endpoint): string {
  return `${addresses[0]} ${targetRef?.uid ?? ''}`;
}

function finish({ slice, group, endpoints, changed }: Bin, free: EndpointSlice[]): Packed {
  const reusable = slice ? -1 : free.findIndex(({ addressType }) => addressType === group.addressType);
  const taken = reusable < 0 ? slice : free.splice(reusable, 1)[0];
  return { slice: taken, addressType: group.addressType, ports: group.ports, endpoints, changed };
}
