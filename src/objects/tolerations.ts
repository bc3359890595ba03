// Room objects: taints of nodes and the tolerations of pods.
import type { Node, Pod } from './types.ts';

export type Toleration = NonNullable<Pod['spec']['tolerations']>[number];
export type Taint = NonNullable<NonNullable<Node['spec']>['taints']>[number];

/** Whether the toleration covers the taint. An empty key with Exists covers every key, no effect every effect. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === 'Exists') return true;
  return !!toleration.key && (toleration.value ?? '') === (taint.value ?? '');
}

/** Taints of these effects that the pod does not tolerate. */
export function untolerated({ spec }: Pod, taints: readonly Taint[] | undefined, effects: readonly string[]): Taint[] {
  return (taints ?? []).filter(
    (taint) => effects.includes(taint.effect) && !spec.tolerations?.some((toleration) => tolerates(toleration, taint)),
  );
}
