// Room plan: which endpoints of a Service's port a node sends traffic to: the ready ones, those near, those on the node itself.
import type { Family, IP } from '../addr/ip.ts';
import type { EndpointSlice, ObjectRef, Service } from '../objects/types.ts';
import type { NodeFacts } from './proxy-names.ts';

type ServicePort = NonNullable<Service['spec']['ports']>[number];
type SliceEndpoint = NonNullable<EndpointSlice['endpoints']>[number];

type Hints = Map<Endpoint, NonNullable<SliceEndpoint['hints']>>;

export interface Endpoint {
  readonly ip: IP;
  readonly port: number;
  /** The pod, or the Service where no object stands behind the address. */
  readonly cause: ObjectRef;
  /** On this node. */
  readonly local: boolean;
}

/** Two answers to "where to": from the whole cluster, and from this node alone. */
export interface EndpointGroups {
  readonly cluster: readonly Endpoint[];
  readonly local: readonly Endpoint[];
}

/** Of one port over all slices of the family, each address and port once. A slice carries the port's number under the Service port's name. */
export function endpointGroups(
  slices: readonly EndpointSlice[],
  port: ServicePort,
  family: Family,
  facts: NodeFacts,
  service: ObjectRef,
): EndpointGroups {
  const ready = new Map<string, Endpoint>();
  // Nearly no Service has these.
  let terminating: Map<string, Endpoint> | undefined;
  let hints: Hints | undefined;
  /** Nearly all have one, so that the address alone tells endpoints apart. */
  let usualPort: number | undefined;
  for (const slice of slices) {
    if (slice.addressType !== (family === 4 ? 'IPv4' : 'IPv6')) continue;
    const number = slice.ports?.find((slicePort) => matchesPort(slicePort, port))?.port;
    if (!number) continue;
    usualPort ??= number;
    for (const entry of slice.endpoints ?? []) {
      const state = stateOf(entry);
      const ip = entry.addresses[0];
      if (state === 'none' || ip === undefined) continue;
      const { targetRef } = entry;
      const cause = targetRef?.kind && targetRef.name ? refOf(targetRef) : service;
      const endpoint = { ip, port: number, cause, local: entry.nodeName === facts.nodeName };
      if (state === 'terminating') terminating ??= new Map();
      const group = state === 'ready' ? ready : terminating!;
      group.set(number === usualPort ? ip : `${ip} ${number}`, endpoint);
      if (entry.hints) hints = (hints ?? new Map()).set(endpoint, entry.hints);
    }
  }
  // Where none is ready, those that still serve while they terminate (KEP-1669); so too on the node alone.
  const serving = [...(terminating?.values() ?? [])];
  const all = ready.size > 0 ? [...ready.values()] : serving;
  const localReady = ready.size > 0 ? all.filter(({ local }) => local) : [];
  const local = localReady.length > 0 ? localReady : serving.filter((endpoint) => endpoint.local);
  return { cluster: ready.size > 0 && hints ? nearest(all, hints, facts) : all, local };
}

/**
 * Those whose hints name this node; else those whose hints name its zone. Hints count only where every endpoint has them and
 * some are for us: a half-written set would starve those who are not named.
 */
function nearest(all: readonly Endpoint[], hints: Hints, { nodeName, zone }: NodeFacts): readonly Endpoint[] {
  const forUs = (field: 'forNodes' | 'forZones', name: string | undefined) => {
    if (name === undefined || !all.every((endpoint) => hints.get(endpoint)?.[field]?.length)) return [];
    return all.filter((endpoint) => hints.get(endpoint)![field]!.some((hint) => hint.name === name));
  };
  const onNode = forUs('forNodes', nodeName);
  if (onNode.length > 0) return onNode;
  const inZone = forUs('forZones', zone);
  return inZone.length > 0 ? inZone : all;
}

function matchesPort(slicePort: NonNullable<EndpointSlice['ports']>[number], port: ServicePort): boolean {
  return (slicePort.name ?? '') === (port.name ?? '') && (slicePort.protocol ?? 'TCP') === (port.protocol ?? 'TCP');
}

/** Without the other fields of what it refers to: one of 100,000. */
function refOf({ kind, namespace, name }: NonNullable<SliceEndpoint['targetRef']>): ObjectRef {
  return namespace === undefined ? { kind: kind!, name: name! } : { kind: kind!, namespace, name: name! };
}

function stateOf({ conditions }: SliceEndpoint): 'ready' | 'terminating' | 'none' {
  if (conditions?.ready !== false) return 'ready';
  return conditions.serving && conditions.terminating ? 'terminating' : 'none';
}

/** How many endpoints of the Service on this node are ready: what its health check tells a load balancer. */
export function localReadyCount(slices: Iterable<EndpointSlice>, nodeName: string): number {
  const addresses = new Set<string>();
  for (const slice of slices) {
    for (const endpoint of slice.endpoints ?? []) {
      const ip = endpoint.addresses[0];
      if (ip !== undefined && endpoint.nodeName === nodeName && stateOf(endpoint) === 'ready') addresses.add(ip);
    }
  }
  return addresses.size;
}
