// Room node: the downward API: what a container may learn of its own pod (fieldRef, resourceFieldRef).
import type { IP } from '../addr/ip.ts';
import { parseQuantity } from '../objects/quantity.ts';
import type { Pod } from '../objects/types.ts';
import type { Container } from './pod-view.ts';

/** A container that cannot be made from what the API holds: CreateContainerConfigError. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

export interface PodFacts {
  readonly pod: Pod;
  readonly nodeName: string;
  readonly hostIPs: readonly IP[];
  readonly podIPs: readonly IP[];
  /** What a container without limits may use, as quantities. */
  readonly allocatable: { readonly cpu: string; readonly memory: string; readonly 'ephemeral-storage': string };
}

type FieldRef = { fieldPath: string };
type ResourceFieldRef = { resource: string; containerName?: string; divisor?: string | number };

export function fieldValue({ pod, nodeName, hostIPs, podIPs }: PodFacts, { fieldPath }: FieldRef): string {
  const { metadata, spec } = pod;
  const [, map, key] = /^metadata\.(labels|annotations)(?:\['([^']*)'\])?$/.exec(fieldPath) ?? [];
  if (map) {
    const values = (map === 'labels' ? metadata.labels : metadata.annotations) ?? {};
    return key === undefined ? keyValues(values) : (values[key] ?? '');
  }
  switch (fieldPath) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid;
    case 'spec.nodeName':
      return spec.nodeName ?? nodeName;
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? '';
    case 'status.hostIP':
      return hostIPs[0] ?? '';
    case 'status.hostIPs':
      return hostIPs.join(',');
    case 'status.podIP':
      return podIPs[0] ?? '';
    case 'status.podIPs':
      return podIPs.join(',');
    default:
      throw new ConfigError(`unsupported fieldPath: ${fieldPath}`);
  }
}

/** A whole map as a file: `key="value"` lines, sorted. */
function keyValues(values: Readonly<Record<string, string>>): string {
  const lines = Object.keys(values)
    .sort()
    .map((key) => `${key}=${JSON.stringify(values[key])}`);
  return lines.join('\n');
}

/** Whole divisors, rounded up; a limit that is not set is what the node can give, a request that is not set is 0. */
export function resourceValue(facts: PodFacts, ref: ResourceFieldRef, own?: Container): string {
  const all = [...facts.pod.spec.containers, ...(facts.pod.spec.initContainers ?? [])];
  const container = ref.containerName ? all.find(({ name }) => name === ref.containerName) : own;
  if (!container) throw new ConfigError(`container ${ref.containerName ?? ''} not found`);
  const dot = ref.resource.indexOf('.');
  const [kind, resource] = [ref.resource.slice(0, dot), ref.resource.slice(dot + 1)];
  if (kind !== 'limits' && kind !== 'requests')
    throw new ConfigError(`unsupported container resource : ${ref.resource}`);
  const limit = container.resources?.limits?.[resource];
  const node = facts.allocatable[resource as keyof PodFacts['allocatable']] ?? '0';
  const quantity = kind === 'limits' ? (limit ?? node) : (container.resources?.requests?.[resource] ?? limit ?? '0');
  // A divisor of 0 is how the API says that none is given.
  const divisor = ref.divisor && parseQuantity(ref.divisor) ? ref.divisor : '1';
  return `${divideUp(parseQuantity(quantity) ?? 0n, parseQuantity(divisor)!)}`;
}

function divideUp(value: bigint, divisor: bigint): bigint {
  return (value + divisor - 1n) / divisor;
}
