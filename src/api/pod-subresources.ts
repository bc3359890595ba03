// Room api: the subresources of pods that are writes: binding to a node, and eviction.
import type { DraftObject, Pod } from '../objects/types.ts';
import { type Answer, type Call, success } from './answer.ts';
import { now } from './create.ts';
import { type DeleteBody, removeEntry } from './delete.ts';
import { badRequest, conflict } from './errors.ts';
import type { ResourceRoute } from './path.ts';
import { getEntry } from './read.ts';
import { store, type WriteContext, writeOptions } from './write.ts';

interface Binding {
  metadata?: { uid?: string; annotations?: Record<string, string> };
  target?: { kind?: string; name?: string };
}

/** POST pods/x/binding: how a scheduler places a pod. */
export async function bind(context: WriteContext, route: ResourceRoute, call: Call): Promise<Answer> {
  const current = getEntry(context.store, route);
  const pod = current.object as unknown as Pod;
  const { target, metadata = {} } = (call.body ?? {}) as Binding;
  const { name } = pod.metadata;
  if (!target?.name) throw badRequest('Binding: target.name: Required value');
  if (metadata.uid && metadata.uid !== pod.metadata.uid) {
    throw conflict(
      route.row,
      name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${pod.metadata.uid}`,
    );
  }
  if (pod.metadata.deletionTimestamp)
    throw conflict(route.row, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  if (pod.spec.nodeName)
    throw conflict(route.row, name, `pod ${name} is already assigned to node "${pod.spec.nodeName}"`);
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: now() };
  const conditions = pod.status?.conditions?.filter((condition) => condition.type !== 'PodScheduled') ?? [];
  const object: DraftObject = {
    ...current.object,
    metadata: { ...pod.metadata },
    spec: { ...pod.spec, nodeName: target.name },
    status: { ...pod.status, conditions: [...conditions, scheduled] },
  };
  const entry = store(context, route.row, object as typeof current.object, writeOptions(call).dryRun);
  await context.store.durable(entry.rev);
  return success(route.row, name, undefined, 201);
}

/** POST pods/x/eviction: a delete that would ask disruption budgets first; this server has none. */
export async function evict(context: WriteContext, route: ResourceRoute, call: Call): Promise<Answer> {
  const current = getEntry(context.store, route);
  const { deleteOptions = {} } = (call.body ?? {}) as { deleteOptions?: DeleteBody };
  const { entry } = removeEntry(context, route.row, current, deleteOptions, writeOptions(call).dryRun);
  await context.store.durable(entry.rev);
  return success(route.row, current.name, undefined, 201);
}
