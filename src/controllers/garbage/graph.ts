// Room controllers: who owns whom, over all kinds, kept up to date with every change.
import type { Kind, KubeObject, OwnerReference } from '../../objects/types.ts';

/** What the graph keeps of an object. */
export interface GraphNode {
  readonly kind: Kind;
  readonly object: Pick<KubeObject, 'metadata'>;
}

export const FOREGROUND = 'foregroundDeletion';
export const ORPHAN = 'orphan';

export class OwnerGraph {
  readonly #nodes = new Map<string, GraphNode>();
  /** uid of an owner, known or not, to the uids of those that refer to it. */
  readonly #dependents = new Map<string, Set<string>>();

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  nodes(): Iterable<GraphNode> {
    return this.#nodes.values();
  }

  set(kind: Kind, object: GraphNode['object']): void {
    const { uid } = object.metadata;
    for (const owner of ownersOf(this.#nodes.get(uid))) this.#unlink(owner.uid, uid);
    const node = { kind, object };
    this.#nodes.set(uid, node);
    for (const owner of ownersOf(node)) {
      const dependents = this.#dependents.get(owner.uid) ?? new Set();
      this.#dependents.set(owner.uid, dependents.add(uid));
    }
  }

  delete(uid: string): void {
    for (const owner of ownersOf(this.#nodes.get(uid))) this.#unlink(owner.uid, uid);
    this.#nodes.delete(uid);
  }

  dependents(uid: string): GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].map((dependent) => this.#nodes.get(dependent)!);
  }

  /** Dependents that keep an owner which is deleted in the foreground from going. */
  blockers(uid: string): GraphNode[] {
    return this.dependents(uid).filter((node) =>
      ownersOf(node).some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true),
    );
  }

  #unlink(owner: string, dependent: string): void {
    const dependents = this.#dependents.get(owner);
    dependents?.delete(dependent);
    if (dependents?.size === 0) this.#dependents.delete(owner);
  }
}

export function ownersOf(node: GraphNode | undefined): readonly OwnerReference[] {
  return node?.object.metadata.ownerReferences ?? [];
}

/** It is being deleted and waits for this finalizer. */
export function waitsFor(node: GraphNode, finalizer: typeof FOREGROUND | typeof ORPHAN): boolean {
  const { deletionTimestamp, finalizers } = node.object.metadata;
  return deletionTimestamp !== undefined && !!finalizers?.includes(finalizer);
}

/** How an owner counts for its dependent: it lives, it is gone, or it waits for its dependents to go. */
export type OwnerState = 'solid' | 'absent' | 'waiting';

export type Verdict =
  | { readonly action: 'keep' }
  /** Remove the references to these owners. */
  | { readonly action: 'release'; readonly owners: ReadonlySet<string> }
  | { readonly action: 'delete'; readonly propagationPolicy: 'Background' | 'Foreground' | 'Orphan' };

/**
 * What becomes of an object, given the states of its owners. It lives as long as one of them does. One whose owner waits for it and that
 * has dependents itself goes in the foreground too, so that the owner is the last.
 */
export function judge(node: GraphNode, states: ReadonlyMap<string, OwnerState>, hasDependents: boolean): Verdict {
  const entries = [...states];
  if (entries.length === 0) return { action: 'keep' };
  if (entries.some(([, state]) => state === 'solid')) {
    const gone = entries.filter(([, state]) => state !== 'solid').map(([uid]) => uid);
    return gone.length > 0 ? { action: 'release', owners: new Set(gone) } : { action: 'keep' };
  }
  const { finalizers = [] } = node.object.metadata;
  const waiting = entries.some(([, state]) => state === 'waiting');
  if (waiting && hasDependents) return { action: 'delete', propagationPolicy: 'Foreground' };
  if (finalizers.includes(ORPHAN)) return { action: 'delete', propagationPolicy: 'Orphan' };
  if (finalizers.includes(FOREGROUND)) return { action: 'delete', propagationPolicy: 'Foreground' };
  return { action: 'delete', propagationPolicy: 'Background' };
}
