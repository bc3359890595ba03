// Room objects: defaults of Endpoints, EndpointSlices, NetworkPolicies, IngressClasses and LBPools.
import { calicoTypes } from '../calico-rules.ts';
import type {
  CalicoNetworkPolicy,
  CalicoTier,
  EndpointSlice,
  Endpoints,
  GlobalNetworkPolicy,
  IngressClass,
  LBPool,
  NetworkPolicy,
} from '../types.ts';

export function defaultEndpoints(endpoints: Endpoints): void {
  for (const subset of endpoints.subsets ?? []) for (const port of subset.ports ?? []) port.protocol ||= 'TCP';
}

export function defaultEndpointSlice(slice: EndpointSlice): void {
  for (const port of slice.ports ?? []) {
    port.name ??= '';
    port.protocol ||= 'TCP';
  }
}

/** Every policy is for ingress unless it says otherwise; for egress when it has egress rules. */
export function defaultNetworkPolicy({ spec }: NetworkPolicy): void {
  if (!spec) return;
  spec.podSelector ??= {};
  for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
    for (const port of rule.ports ?? []) port.protocol ||= 'TCP';
  }
  if (!spec.policyTypes?.length) spec.policyTypes = spec.egress?.length ? ['Ingress', 'Egress'] : ['Ingress'];
}

export function defaultCalicoPolicy({ spec }: CalicoNetworkPolicy | GlobalNetworkPolicy): void {
  if (!spec) return;
  spec.tier ||= 'default';
  spec.types = calicoTypes(spec);
}

export function defaultCalicoTier({ spec }: CalicoTier): void {
  if (spec) spec.defaultAction ??= 'Deny';
}

export function defaultIngressClass({ spec }: IngressClass): void {
  if (spec?.parameters) spec.parameters.scope ??= 'Cluster';
}

export function defaultLBPool({ spec }: LBPool): void {
  if (!spec) return;
  spec.autoAssign ??= true;
  spec.priority ??= 0;
}
