// Room api: what an update of a Service means: values that were given out stay, and what the new type has not goes.
import { isDeepStrictEqual } from 'node:util';
import type { Service } from '../objects/types.ts';
import { isExternallyAccessible, needsHealthCheck } from '../objects/validate/service.ts';

type Spec = Service['spec'];

export function hasClusterIP({ type }: Spec): boolean {
  return type !== 'ExternalName';
}

export function hasNodePorts({ type }: Spec): boolean {
  return type === 'NodePort' || type === 'LoadBalancer';
}

/** clusterIP is the first of clusterIPs; a client may speak of the one and leave the other as it was. */
export function agreeOnClusterIPs(spec: Spec, old?: Spec): void {
  if (!old) {
    if (spec.clusterIP && !spec.clusterIPs?.length) spec.clusterIPs = [spec.clusterIP];
    return;
  }
  const same = isDeepStrictEqual(spec.clusterIPs ?? [], old.clusterIPs ?? []);
  if (spec.clusterIP === old.clusterIP) {
    if (!spec.clusterIPs?.length && old.clusterIPs?.length) spec.clusterIPs = [...old.clusterIPs];
  } else if (!spec.clusterIP) {
    if (old.clusterIP && same) spec.clusterIPs = [];
  } else if (same) spec.clusterIPs = [spec.clusterIP];
}

/** A client that writes a Service without its allocated values means to keep them. */
export function keepAllocated(spec: Spec, old: Spec): void {
  if (hasClusterIP(spec) && hasClusterIP(old)) {
    if (!spec.clusterIP && old.clusterIP) spec.clusterIP = old.clusterIP;
    if (!spec.clusterIPs?.length && old.clusterIPs?.length) spec.clusterIPs = [...old.clusterIPs];
  }
  if (hasNodePorts(spec) && hasNodePorts(old)) keepNodePorts(spec, old);
  if (needsHealthCheck(spec) && needsHealthCheck(old) && !spec.healthCheckNodePort && old.healthCheckNodePort) {
    spec.healthCheckNodePort = old.healthCheckNodePort;
  }
}

/** By the port's name: whatever else of it changed. */
function keepNodePorts(spec: Spec, old: Spec): void {
  const now = nodePortsOf(spec);
  const before = new Map(old.ports?.map((port) => [port.name ?? '', port.nodePort]));
  for (const port of spec.ports ?? []) {
    const known = before.get(port.name ?? '');
    if (!port.nodePort && known && !now.has(known)) port.nodePort = known;
  }
}

/** Only what the client did not also change: that is for validation to refuse. */
export function dropWhatTheTypeHasNot(spec: Spec, old: Spec): void {
  const drop = (field: keyof Spec) => {
    if (isDeepStrictEqual(spec[field], old[field])) Reflect.deleteProperty(spec, field);
  };
  if (hasClusterIP(old) && !hasClusterIP(spec)) {
    if (spec.clusterIP === old.clusterIP && isDeepStrictEqual(spec.clusterIPs, old.clusterIPs)) {
      drop('clusterIP');
      drop('clusterIPs');
    }
    drop('ipFamilies');
    drop('ipFamilyPolicy');
    drop('internalTrafficPolicy');
  }
  if (hasNodePorts(old) && !hasNodePorts(spec) && [...nodePortsOf(spec)].every((port) => nodePortsOf(old).has(port))) {
    for (const port of spec.ports ?? []) delete port.nodePort;
  }
  if (needsHealthCheck(old) && !needsHealthCheck(spec)) drop('healthCheckNodePort');
  if (old.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    drop('allocateLoadBalancerNodePorts');
    drop('loadBalancerClass');
  }
  if (isExternallyAccessible(old) && !isExternallyAccessible(spec)) drop('externalTrafficPolicy');
}

function nodePortsOf({ ports = [] }: Spec): Set<number> {
  return new Set(ports.flatMap(({ nodePort }) => nodePort || []));
}
