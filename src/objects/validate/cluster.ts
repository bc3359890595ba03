// Room objects: validation of Nodes, Leases and Events.
import type { Event, Lease, Node } from '../types.ts';
import { checkCIDR, checkIP } from './addresses.ts';
import { type Causes, checkNotNegative, forbidden, invalidValue, sameJson } from './causes.ts';
import { checkQuantity } from './resources.ts';
import { validateTaints } from './scheduling.ts';

export function validateNode(causes: Causes, { spec = {}, status = {} }: Node): void {
  validateTaints(causes, 'spec.taints', spec.taints ?? []);
  for (const [i, cidr] of (spec.podCIDRs ?? []).entries()) checkCIDR(causes, `spec.podCIDRs[${i}]`, cidr);
  if (spec.podCIDR && spec.podCIDRs?.length && spec.podCIDRs[0] !== spec.podCIDR) {
    causes.push(invalidValue('spec.podCIDRs', spec.podCIDRs, 'first value must match `podCIDR`'));
  }
  for (const name of ['capacity', 'allocatable'] as const) {
    for (const [resource, amount] of Object.entries(status[name] ?? {})) {
      checkQuantity(causes, `status.${name}[${resource}]`, amount);
    }
  }
  for (const [i, address] of (status.addresses ?? []).entries()) {
    if (address.type.endsWith('IP')) checkIP(causes, `status.addresses[${i}].address`, address.address);
  }
}

/** A node keeps the range from which its pods have their addresses. */
export function validateNodeUpdate(causes: Causes, now: Node, old: Node): void {
  for (const name of ['podCIDRs', 'providerID'] as const) {
    const then = old.spec?.[name];
    if (!then || sameJson(now.spec?.[name], then)) continue;
    causes.push(forbidden(`spec.${name}`, 'node updates may not change it except from "" to valid'));
  }
}

export function validateLease(causes: Causes, { spec = {} }: Lease): void {
  const seconds = spec.leaseDurationSeconds;
  if (seconds !== undefined && seconds <= 0) {
    causes.push(invalidValue('spec.leaseDurationSeconds', seconds, 'must be greater than 0'));
  }
  checkNotNegative(causes, 'spec.leaseTransitions', spec.leaseTransitions);
}

/** Events about objects without a namespace stand in `default`. */
export function validateEvent(causes: Causes, { involvedObject, metadata }: Event): void {
  const namespace = involvedObject?.namespace ?? '';
  const expected = namespace || 'default';
  if (metadata.namespace === expected || (!namespace && metadata.namespace === 'kube-system')) return;
  causes.push(invalidValue('involvedObject.namespace', namespace, 'does not match event.namespace'));
}
