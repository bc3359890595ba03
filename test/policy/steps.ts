// Arbitrary changes of a cluster, and what they make of a plain list of objects.
import fc from 'fast-check';
import { type CalicoTier, type Namespace, objectKey, type Pod, type ServiceAccount } from '../../src/objects/types.ts';
import { PolicyEngine } from '../../src/plan/policy/engine.ts';
import { type AnyPolicy, policyId, policyKind } from '../../src/plan/policy/read-policy.ts';
import { NAMESPACES, SLOTS } from './parts.ts';
import { policyNamed } from './plain-policies.ts';
import type { World } from './reference.ts';
import { ACCOUNTS, accountOf, anyPolicyNamed, TIER_NAMES, tierNamed } from './tiered-worlds.ts';
import { namespaceNamed, nodes, podOfSlot } from './worlds.ts';

export function engineOf(
  { pods, namespaces, policies, tiers, accounts }: World,
  engine = new PolicyEngine(),
): PolicyEngine {
  for (const node of nodes) engine.setNode(node);
  for (const { metadata } of namespaces) engine.setNamespace(metadata.name, metadata.labels ?? {});
  for (const tier of tiers) engine.setTier(tier);
  for (const { metadata } of accounts)
    engine.setServiceAccount(metadata.namespace!, metadata.name, metadata.labels ?? {});
  for (const pod of pods) engine.setPod(pod);
  for (const policy of policies) engine.setPolicy(policy);
  return engine;
}

export type Step =
  | { readonly do: 'pod'; readonly pod: Pod }
  | { readonly do: 'remove pod'; readonly slot: number }
  | { readonly do: 'namespace'; readonly namespace: Namespace }
  | { readonly do: 'policy'; readonly policy: AnyPolicy }
  | { readonly do: 'tier'; readonly tier: CalicoTier }
  | { readonly do: 'remove tier'; readonly name: string }
  | { readonly do: 'account'; readonly account: ServiceAccount }
  | { readonly do: 'remove policy'; readonly name: string };

export const step: fc.Arbitrary<Step> = fc.oneof(
  fc
    .constantFrom(...SLOTS)
    .chain(podOfSlot)
    .map((pod) => ({ do: 'pod', pod }) as const),
  fc.constantFrom(...SLOTS).map((slot) => ({ do: 'remove pod', slot }) as const),
  fc
    .constantFrom(...NAMESPACES)
    .chain(namespaceNamed)
    .map((namespace) => ({ do: 'namespace', namespace }) as const),
  fc
    .constantFrom('p', 'q', 'r')
    .chain((name) => fc.oneof(policyNamed(name), anyPolicyNamed(name)))
    .map((policy) => ({ do: 'policy', policy }) as const),
  fc
    .constantFrom(...TIER_NAMES)
    .chain(tierNamed)
    .map((tier) => ({ do: 'tier', tier }) as const),
  fc.constantFrom(...TIER_NAMES).map((name) => ({ do: 'remove tier', name }) as const),
  fc
    .constantFrom(...ACCOUNTS)
    .chain(accountOf)
    .map((account) => ({ do: 'account', account }) as const),
  fc.constantFrom('p', 'q', 'r').map((name) => ({ do: 'remove policy', name }) as const),
);

function idOf(policy: AnyPolicy): string {
  return policyId(policyKind(policy), objectKey(policy));
}

function others<T extends { metadata: { name: string } }>(list: readonly T[], name: string) {
  const old = list.find(({ metadata }) => metadata.name === name);
  return { old, rest: list.filter((each) => each !== old) };
}

/** The same change to the engine and to a plain world. Names are unique: a pod that changes its namespace is another one. */
export function take(engine: PolicyEngine, cluster: World, change: Step): World {
  switch (change.do) {
    case 'pod':
    case 'remove pod': {
      const name = change.do === 'pod' ? change.pod.metadata.name : `pod-${change.slot}`;
      const { old, rest } = others(cluster.pods, name);
      const pods = change.do === 'pod' ? [...rest, change.pod] : rest;
      if (old && (change.do !== 'pod' || objectKey(old) !== objectKey(change.pod))) engine.removePod(objectKey(old));
      if (change.do === 'pod') engine.setPod(change.pod);
      return { ...cluster, pods };
    }
    case 'namespace': {
      const { metadata } = change.namespace;
      engine.setNamespace(metadata.name, metadata.labels ?? {});
      return { ...cluster, namespaces: [...others(cluster.namespaces, metadata.name).rest, change.namespace] };
    }
    case 'policy':
    case 'remove policy': {
      const name = change.do === 'policy' ? change.policy.metadata.name : change.name;
      const { old, rest } = others(cluster.policies, name);
      const policies = change.do === 'policy' ? [...rest, change.policy] : rest;
      if (old && (change.do !== 'policy' || idOf(old) !== idOf(change.policy))) engine.removePolicy(idOf(old));
      if (change.do === 'policy') engine.setPolicy(change.policy);
      return { ...cluster, policies };
    }
    case 'tier':
      engine.setTier(change.tier);
      return { ...cluster, tiers: [...others(cluster.tiers, change.tier.metadata.name).rest, change.tier] };
    case 'remove tier':
      engine.removeTier(change.name);
      return { ...cluster, tiers: others(cluster.tiers, change.name).rest };
    case 'account': {
      const { namespace, name, labels = {} } = change.account.metadata;
      engine.setServiceAccount(namespace!, name, labels);
      const rest = cluster.accounts.filter((each) => objectKey(each) !== objectKey(change.account));
      return { ...cluster, accounts: [...rest, change.account] };
    }
  }
}
