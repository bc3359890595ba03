// Room plan: rules that change nothing: what they say another one says already, or decides before they are asked. By what is written, not by which
// pods there are today.
import type { AddressRange, BlockPeer } from './address-block.ts';
import type { PolicyEngine } from './engine.ts';
import type { PolicyPod } from './pod.ts';
import type { Peer, PodPeer, PolicyRules, PortMatch, Rule } from './rules.ts';
import type { Selector } from './selector.ts';
import { comparePolicies, type Stage, stagesOf } from './tiers.ts';

/** Why a rule is idle. */
export interface Shadow {
  /** `same`: another rule allows the same or more. `before`: another one decides first. `end`: a tier before lets nothing come so far. */
  readonly kind: 'same' | 'before' | 'end';
  readonly by: readonly Rule[];
  /** Name of the tier that ends the walk, of kind `end`. */
  readonly tier?: string;
}

/** Undefined: it has a say of at least one pod. `pods`: those that its policy selects. */
export function shadowOf(engine: PolicyEngine, rule: Rule, pods: readonly PolicyPod[]): Shadow | undefined {
  if (pods.length === 0 || rule.action === 'log') return undefined;
  const found: (Rule | string)[] = [];
  for (const pod of pods) {
    const shadow = shadowFor(stagesOf(engine.tiers, pod, rule.direction), rule);
    if (shadow === undefined) return undefined;
    found.push(shadow);
  }
  const by = [...new Set(found.filter((each) => typeof each !== 'string'))];
  const tier = found.find((each) => typeof each === 'string');
  if (by.length === 0 && tier !== undefined) return { kind: 'end', by, tier };
  const isUnion = by.every(({ action, policy }) => action === 'allow' && policy.tier === rule.policy.tier);
  return { kind: isUnion && rule.action === 'allow' ? 'same' : 'before', by };
}

/** The rule that makes this one idle for a pod, or the name of the tier that ends before it. */
function shadowFor(stages: readonly Stage[], rule: Rule): Rule | string | undefined {
  for (const { tier, policies } of stages) {
    const isHere = tier.name === rule.policy.tier;
    for (const policy of policies) {
      for (const other of policy.rules[rule.direction]) {
        if (other === rule || other.action === 'log' || !covers(other, rule)) continue;
        if (!isHere) {
          if (other.action !== 'pass') return other;
        } else if (isUnion(policy, rule.policy)) {
          // Of two that say the same, the later is the one too many.
          if (!covers(rule, other) || comesBefore(other, rule)) return other;
        } else if (comesBefore(other, rule)) return other;
      }
    }
    if (isHere) return undefined;
    if (tier.end === 'deny') return tier.name;
  }
  return undefined;
}

/** NetworkPolicies are asked all at once. */
function isUnion(a: PolicyRules, b: PolicyRules): boolean {
  return a.ref.kind === 'NetworkPolicy' && b.ref.kind === 'NetworkPolicy';
}

function comesBefore(a: Rule, b: Rule): boolean {
  const order = comparePolicies(a.policy, b.policy);
  return order === 0 ? a.index < b.index : order < 0;
}

/** Whether all that the second rule applies to is what the first one applies to. */
export function covers(wide: Rule, narrow: Rule): boolean {
  return allCovered(wide.ports, narrow.ports, coversPort) && allCovered(wide.peers, narrow.peers, coversPeer);
}

/** Absent: whatever there is. */
function allCovered<T>(
  wide: readonly T[] | undefined,
  narrow: readonly T[] | undefined,
  by: (wide: T, narrow: T) => boolean,
) {
  if (wide === undefined) return true;
  return narrow?.every((each) => wide.some((one) => by(one, each))) ?? false;
}

function coversPort(wide: PortMatch, narrow: PortMatch): boolean {
  if (wide.protocol !== narrow.protocol) return false;
  if (wide.kind === 'all') return true;
  if (wide.kind === 'name') return narrow.kind === 'name' && wide.name === narrow.name;
  return narrow.kind === 'range' && wide.first <= narrow.first && narrow.last <= wide.last;
}

function coversPeer(wide: Peer, narrow: Peer): boolean {
  if (wide.key === narrow.key) return true;
  if (wide.kind === 'block') return narrow.kind === 'block' && coversBlock(wide, narrow);
  if (wide.kind === 'pods') return narrow.kind === 'pods' && coversPods(wide, narrow);
  return false;
}

function coversBlock(wide: BlockPeer, narrow: BlockPeer): boolean {
  const within = (part: AddressRange) =>
    wide.ranges.some(({ first, last }) => first <= part.first && part.last <= last);
  return wide.family === narrow.family && narrow.ranges.every(within);
}

function coversPods(wide: PodPeer, narrow: PodPeer): boolean {
  if (wide.podSelector && !(narrow.podSelector && coversSelector(wide.podSelector, narrow.podSelector))) return false;
  if ('namespace' in wide.scope) return 'namespace' in narrow.scope && wide.scope.namespace === narrow.scope.namespace;
  if ('namespaces' in narrow.scope) return coversSelector(wide.scope.namespaces, narrow.scope.namespaces);
  // Every namespace has its name for a label, and may have others that nobody has told of yet.
  return (
    wide.scope.namespaces.text === '' ||
    wide.scope.namespaces.text === `kubernetes.io/metadata.name=${narrow.scope.namespace}`
  );
}

/** Whoever meets more conditions meets each of them. */
function coversSelector(wide: Selector, narrow: Selector): boolean {
  if (wide.text === '' || wide.text === narrow.text) return true;
  const has = new Set(conditions(narrow.text));
  return conditions(wide.text).every((each) => has.has(each));
}

/** `app=web,tier in (a,b)` -> its parts; an expression of Calico's stands for itself. */
function conditions(text: string): string[] {
  return /[{|&]/.test(text) ? [text] : text.split(/,(?![^(]*\))/);
}
