// Room controllers: the garbage collector: objects go when their owners have gone, in the way that the deletion asked for.
import { CACHED_KINDS } from '../../cache/informers.ts';
import { apiVersionOf, KINDS, type KindRow, kindRow } from '../../objects/kinds.ts';
import { isConflict, isNotFound } from '../../objects/status.ts';
import type { Kind, KubeObject, OwnerReference } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { createQueue } from '../queue.ts';
import { releasePatch } from '../refs.ts';
import { FOREGROUND, type GraphNode, judge, ORPHAN, OwnerGraph, type OwnerState, ownersOf, waitsFor } from './graph.ts';

export function startGarbageCollector({ client, informers }: ControllerContext): Controller {
  const graph = new OwnerGraph();
  const queue = createQueue('GarbageCollector', sync);
  for (const kind of CACHED_KINDS) {
    informers.of(kind).onChange(({ type, object }) => {
      if (type === 'delete') forget(object.metadata.uid);
      else learn(kind, object as unknown as KubeObject);
    });
  }

  function learn(kind: Kind, object: KubeObject): void {
    const { uid } = object.metadata;
    graph.set(kind, object);
    const node = graph.get(uid)!;
    if (ownersOf(node).length > 0 || waitsFor(node, ORPHAN)) queue.add(uid);
    if (!waitsFor(node, FOREGROUND)) return;
    queue.add(uid);
    for (const dependent of graph.dependents(uid)) queue.add(dependent.object.metadata.uid);
  }

  function forget(uid: string): void {
    const owners = ownersOf(graph.get(uid));
    graph.delete(uid);
    for (const dependent of graph.dependents(uid)) queue.add(dependent.object.metadata.uid);
    for (const owner of owners) {
      const node = graph.get(owner.uid);
      if (node && waitsFor(node, FOREGROUND)) queue.add(owner.uid);
    }
  }

  async function sync(uid: string): Promise<void> {
    const node = graph.get(uid);
    if (!node) return;
    if (waitsFor(node, ORPHAN)) return orphan(node);
    if (waitsFor(node, FOREGROUND)) return graph.blockers(uid).length === 0 ? finish(node, FOREGROUND) : undefined;
    if (node.object.metadata.deletionTimestamp) return;
    const states = await Promise.all(
      ownersOf(node).map(async (owner) => [owner.uid, await stateOf(owner, node)] as const),
    );
    await carryOut(node, judge(node, new Map(states), graph.dependents(uid).length > 0));
  }

  async function carryOut(node: GraphNode, verdict: ReturnType<typeof judge>): Promise<void> {
    const { name, namespace, uid, resourceVersion } = node.object.metadata;
    if (verdict.action === 'release') await patch(node, releasePatch(node.object, verdict.owners));
    if (verdict.action !== 'delete') return;
    // The version too: a reference to a living owner may have been added since.
    const preconditions = { uid, resourceVersion };
    const options = { propagationPolicy: verdict.propagationPolicy, preconditions };
    try {
      await client.delete(node.kind, name, namespace, options);
    } catch (error) {
      // A conflict means that the object has changed, and the change will bring it back here.
      if (!isNotFound(error) && !isConflict(error)) throw error;
      if (isConflict(error)) queue.addAfter(uid, 5);
    }
  }

  async function stateOf(owner: OwnerReference, dependent: GraphNode): Promise<OwnerState> {
    const { namespace } = dependent.object.metadata;
    const known = graph.get(owner.uid);
    if (known) {
      const reachable = !kindRow(known.kind).namespaced || known.object.metadata.namespace === namespace;
      return !reachable ? 'absent' : waitsFor(known, FOREGROUND) ? 'waiting' : 'solid';
    }
    const row = ownerRow(owner);
    // A kind that we do not serve: nobody can tell whether the owner lives, so it does.
    if (!row) return 'solid';
    if (row.namespaced && !namespace) return 'absent';
    try {
      const found = await client.get(row.kind, owner.name, row.namespaced ? namespace : undefined);
      return found.metadata.uid === owner.uid ? 'solid' : 'absent';
    } catch (error) {
      if (isNotFound(error)) return 'absent';
      throw error;
    }
  }

  /** Dependents forget their owner, then the owner may go. */
  async function orphan(node: GraphNode): Promise<void> {
    const { uid } = node.object.metadata;
    const owners = new Set([uid]);
    await Promise.all(graph.dependents(uid).map((other) => patch(other, releasePatch(other.object, owners))));
    await finish(node, ORPHAN);
  }

  async function finish(node: GraphNode, finalizer: string): Promise<void> {
    const { uid, resourceVersion, finalizers = [] } = node.object.metadata;
    const left = finalizers.filter((other) => other !== finalizer);
    await patch(node, { metadata: { uid, resourceVersion, finalizers: left } });
  }

  async function patch({ kind, object }: GraphNode, body: unknown): Promise<void> {
    const { name, namespace } = object.metadata;
    try {
      await client.patch(kind, { name, namespace }, body);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  return { close: queue.close };
}

function ownerRow({ apiVersion, kind }: OwnerReference): KindRow | undefined {
  return KINDS.find((row) => row.apiKind === kind && apiVersionOf(row) === apiVersion);
}
