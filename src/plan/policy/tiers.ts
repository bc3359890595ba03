// Room plan: the order in which policies of all kinds are asked: tiers by their order, in each its policies by theirs.
import type { PolicyPod } from './pod.ts';
import type { Direction, PolicyRules } from './rules.ts';

export interface Tier {
  readonly name: string;
  /** Rising; of several with one order the name decides. */
  readonly order: number;
  /** What becomes of a packet that no rule of the tier decides, of a pod that one of its policies selects. */
  readonly end: 'deny' | 'pass';
}

export const ADMIN_TIER = 'kube-admin';
export const DEFAULT_TIER = 'default';
export const BASELINE_TIER = 'kube-baseline';

/** Calico's numbers for the tiers that are always there; those of ClusterNetworkPolicies stand around the one of all else. */
export const TIERS: readonly Tier[] = [
  { name: ADMIN_TIER, order: 1000, end: 'pass' },
  { name: DEFAULT_TIER, order: 1_000_000, end: 'deny' },
  { name: BASELINE_TIER, order: 10_000_000, end: 'pass' },
];

/** Where NetworkPolicies stand in the default tier among Calico's own. */
export const NETWORK_POLICY_ORDER = 1000;

/** What a tier says where none of its name is known: as the last of all. */
export function unknownTier(name: string): Tier {
  return { name, order: Number.POSITIVE_INFINITY, end: 'deny' };
}

export interface Stage {
  readonly tier: Tier;
  readonly policies: readonly PolicyRules[];
}

/** Of the policies that have a say for the pod in the direction: with the staged ones, or without. */
export function stagesOf(
  tiers: ReadonlyMap<string, Tier>,
  pod: PolicyPod,
  direction: Direction,
  staged = false,
): Stage[] {
  const policies = [...pod.policies].filter((each) => each.directions.includes(direction) && (staged || !each.staged));
  if (policies.length === 0) return [];
  const byTier = Map.groupBy(policies.sort(comparePolicies), ({ tier }) => tier);
  const stages = [...byTier].map(([name, list]): Stage => {
    return { tier: tiers.get(name) ?? unknownTier(name), policies: list };
  });
  return stages.sort((a, b) => compareTiers(a.tier, b.tier));
}

function compareTiers(a: Tier, b: Tier): number {
  return a.order === b.order ? compare(a.name, b.name) : a.order - b.order;
}

/** Of one order: by name, then namespace, then kind, as Calico sorts them. */
export function comparePolicies(a: PolicyRules, b: PolicyRules): number {
  if (a === b) return 0;
  if (a.order !== b.order) return a.order < b.order ? -1 : 1;
  return compare(nameFirst(a), nameFirst(b));
}

function nameFirst({ ref }: PolicyRules): string {
  return `${ref.name}/${ref.namespace ?? ''}/${ref.kind}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Policies in force that have a say for the pod in the direction, of whatever tier. */
export function isolating(pod: PolicyPod, direction: Direction): PolicyRules[] {
  const policies = [...pod.policies].filter(({ directions, staged }) => !staged && directions.includes(direction));
  return policies.sort(comparePolicies);
}

/** Only NetworkPolicies, in force and quiet: what they allow is a union, and the kernel keeps it as one. */
export function isPlain({ policies }: PolicyPod): boolean {
  for (const { ref, staged, logsAllowed } of policies) {
    if (ref.kind !== 'NetworkPolicy' || staged || logsAllowed) return false;
  }
  return true;
}
