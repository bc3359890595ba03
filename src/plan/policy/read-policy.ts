// Room plan: a policy of any kind, by its kind and group, as the engine reads it.
import type {
  CalicoNetworkPolicy,
  ClusterNetworkPolicy,
  GlobalNetworkPolicy,
  NetworkPolicy,
} from '../../objects/types.ts';
import { CALICO_NETWORK_POLICY, calicoPolicyRules } from './calico.ts';
import { clusterPolicyRules } from './cluster-network-policy.ts';
import { networkPolicyRules } from './network-policy.ts';
import type { PolicyRules } from './rules.ts';

export type AnyPolicy = NetworkPolicy | ClusterNetworkPolicy | CalicoNetworkPolicy | GlobalNetworkPolicy;
export const POLICY_KINDS = [
  'NetworkPolicy',
  'ClusterNetworkPolicy',
  'CalicoNetworkPolicy',
  'GlobalNetworkPolicy',
] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

/** By its apiVersion and kind; what has none, as a list's items, is a NetworkPolicy. */
export function policyKind({ apiVersion, kind }: { apiVersion?: string; kind?: string }): PolicyKind {
  if (kind === 'ClusterNetworkPolicy' || kind === 'GlobalNetworkPolicy') return kind;
  return apiVersion?.includes('projectcalico.org/') ? 'CalicoNetworkPolicy' : 'NetworkPolicy';
}

export function readPolicy(object: AnyPolicy, kind: PolicyKind): PolicyRules {
  switch (kind) {
    case 'NetworkPolicy':
      return networkPolicyRules(object as NetworkPolicy);
    case 'ClusterNetworkPolicy':
      return clusterPolicyRules(object as ClusterNetworkPolicy);
    case 'CalicoNetworkPolicy':
      return calicoPolicyRules(object as CalicoNetworkPolicy, CALICO_NETWORK_POLICY);
    case 'GlobalNetworkPolicy':
      return calicoPolicyRules(object as GlobalNetworkPolicy, kind);
  }
}

/** How a policy of the kind is named that the engine knows: `NetworkPolicy/shop/web`. `key` as objectKey() gives it. */
export function policyId(kind: PolicyKind, key: string): string {
  return `${kind === 'CalicoNetworkPolicy' ? CALICO_NETWORK_POLICY : kind}/${key}`;
}
