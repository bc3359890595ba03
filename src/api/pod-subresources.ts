// Room api: the subresources of pods that are writes: binding to a node, and eviction.
import { timestamp } from '../objects/time.ts';
import type { DraftObject, Pod } from '../objects/types.ts';
import { type Answer, type Call, success } from './answer.ts';
import { objectIn, textIn } from './body.ts';
import { deleteBody, removeEntry } from './delete.ts';
import { badRequest, conflict } from './errors.ts';
import type { ResourceRoute } from './path.ts';
import { getEntry } from './read.ts';
import { store, type WriteContext, writeOptions } from './write.ts';

/** POST pods/x/binding: how a scheduler places a pod. */
export async function bind(context: WriteContext, route: ResourceRoute, call: Call): Promise<Answer> {
  const current = getEntry(context.store, route);
  const pod = current.object as unknown as Pod;
  const body = objectIn(call.body);
  const node = textIn(objectIn(body['target'])['name']);
  const uid = textIn(objectIn(body['metadata'])['uid']);
  const { name } = pod.metadata;
  if (!node) throw badRequest('Binding: target.name: Required value');
  if (uid && uid !== pod.metadata.uid) {
    throw conflict(
      route.row,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata.uid}`,
    );
  }
  if (pod.metadata.deletionTimestamp)
    throw conflict(route.row, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  if (pod.spec.nodeName)
    throw conflict(route.row, name, `pod ${name} is already assigned to node "${pod.spec.nodeName}"`);
  const scheduled = {
    type: 'PodScheduled',
    status: 'True',
    lastProbeTime: null,
    lastTransitionTime: timestamp(Date.now()),
  };
  const conditions = pod.status?.conditions?.filter((condition) => condition.type !== 'PodScheduled') ?? [];
  const object: DraftObject = {
    ...current.object,
    metadata: { ...pod.metadata },
    spec: { ...pod.spec, nodeName: node },
    status: { ...pod.status, conditions: [...conditions, scheduled] },
  };
  const entry = store(context, route.row, object as typeof current.object, writeOptions(call).dryRun);
  await context.store.durable(entry.rev);
  return success(route.row, name, undefined, 201);
}

/** POST pods/x/eviction: a delete that would ask disruption budgets first; this server has none. */
export async function evict(context: WriteContext, route: ResourceRoute, call: Call): Promise<Answer> {
  const current = getEntry(context.store, route);
  const options = deleteBody({ body: objectIn(call.body)['deleteOptions'], query: call.query ?? {} });
  const { entry } = removeEntry(context, route.row, current, options);
  await context.store.durable(entry.rev);
  return success(route.row, current.name, undefined, 201);
}
