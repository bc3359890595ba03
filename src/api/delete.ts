// Room api: delete and deletecollection: grace, finalizers and propagation decide between now and later.
import type { KindRow } from '../objects/kinds.ts';
import type { KubeObject, Pod } from '../objects/types.ts';
import { type Answer, type Call, objectAnswer, success } from './answer.ts';
import type { Entry } from './bucket.ts';
import { now } from './create.ts';
import { badRequest, conflict, forbidden, resourceOf } from './errors.ts';
import type { ResourceRoute } from './path.ts';
import { countOf, getEntry, selectionOf } from './read.ts';
import { isFinished, removeNow, store, type WriteContext, type Written, writeOptions } from './write.ts';

export interface DeleteBody {
  gracePeriodSeconds?: number;
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  /** Kubernetes' word from before propagationPolicy. */
  orphanDependents?: boolean;
  preconditions?: { uid?: string; resourceVersion?: string };
  dryRun?: string[];
}

/** The body wins over the query, as in Kubernetes. */
export function deleteBody(call: Call): DeleteBody {
  const body: DeleteBody = typeof call.body === 'object' && call.body !== null ? { ...call.body } : {};
  const query = call.query ?? {};
  if (query['gracePeriodSeconds'] && body.gracePeriodSeconds === undefined) {
    body.gracePeriodSeconds = countOf(query, 'gracePeriodSeconds');
  }
  if (query['propagationPolicy']) body.propagationPolicy ??= query['propagationPolicy'] as 'Background';
  const { propagationPolicy = 'Background' } = body;
  if (!['Background', 'Foreground', 'Orphan'].includes(propagationPolicy)) {
    throw badRequest(`propagationPolicy: Unsupported value: "${propagationPolicy}"`);
  }
  return body;
}

export async function remove(context: WriteContext, route: ResourceRoute, call: Call): Promise<Answer> {
  const current = getEntry(context.store, route);
  const body = deleteBody(call);
  const dryRun = isDryRun(call, body);
  const { entry, removed } = removeEntry(context, route.row, current, body, dryRun);
  await context.store.durable(entry.rev);
  const { name, uid } = entry.object.metadata;
  return removed ? success(route.row, name, uid) : objectAnswer(route.row, entry);
}

function isDryRun(call: Call, body: DeleteBody): boolean {
  return writeOptions(call).dryRun || (body.dryRun?.includes('All') ?? false);
}

export async function removeCollection(context: WriteContext, route: ResourceRoute, call: Call): Promise<Answer> {
  const { row, namespace } = route;
  const body = deleteBody(call);
  const dryRun = isDryRun(call, body);
  const matches = selectionOf(row, call.query ?? {});
  const entries: Entry[] = [];
  for (const current of context.store.bucket(resourceOf(row)).list(namespace)) {
    if (!matches || matches(current.object)) entries.push(removeEntry(context, row, current, body, dryRun).entry);
  }
  const rev = context.store.rev;
  await context.store.durable(rev);
  return { status: 200, content: { type: 'list', row, entries, metadata: { resourceVersion: String(rev) } } };
}

export function removeEntry(
  context: WriteContext,
  row: KindRow,
  current: Entry,
  body: DeleteBody,
  dryRun: boolean,
): Omit<Written, 'warnings'> {
  const old = current.object;
  checkDeletable(row, old, body);
  const grace = graceFor(old, body);
  const finalizers = finalizersFor(old, body);
  if (isUnderway(old, grace, finalizers)) return { entry: current, removed: false };
  const object = marked(old, grace, finalizers);
  if (isFinished(object)) return { entry: removeNow(context, row, object, dryRun), removed: true };
  return { entry: store(context, row, object, dryRun), removed: false };
}

const KEPT_NAMESPACES = new Set(['default', 'kube-system', 'kube-public', 'kube-node-lease']);

function checkDeletable(row: KindRow, old: KubeObject, { preconditions = {} }: DeleteBody): void {
  const { name, uid, resourceVersion } = old.metadata;
  if (preconditions.uid !== undefined && preconditions.uid !== uid) {
    const why = `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`;
    throw conflict(row, name, why);
  }
  if (preconditions.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
    const given = `ResourceVersion in precondition: ${preconditions.resourceVersion}`;
    throw conflict(row, name, `Precondition failed: ${given}, ResourceVersion in object meta: ${resourceVersion}`);
  }
  if (row.kind === 'Namespace' && KEPT_NAMESPACES.has(name)) {
    throw forbidden(row, name, 'this namespace may not be deleted');
  }
}

const DEFAULT_GRACE_SECONDS = 30;

/** Seconds until a pod on a node is killed; everything else, and a pod that runs nowhere, goes at once. */
function graceFor(old: KubeObject, body: DeleteBody): number {
  if (old.kind !== 'Pod') return 0;
  const { spec, status } = old as unknown as Pod;
  if (!spec.nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') return 0;
  const wanted = body.gracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
  return wanted < 0 ? 1 : wanted;
}

/** Foreground waits for the dependents to go, Orphan for them to be let go of: the garbage collector takes these off. */
function finalizersFor(old: KubeObject, body: DeleteBody): readonly string[] {
  const policy = body.propagationPolicy ?? (body.orphanDependents ? 'Orphan' : undefined);
  const finalizers = old.metadata.finalizers ?? [];
  if (policy === undefined) return finalizers;
  const rest = finalizers.filter((finalizer) => finalizer !== 'foregroundDeletion' && finalizer !== 'orphan');
  if (policy === 'Foreground') return [...rest, 'foregroundDeletion'];
  return policy === 'Orphan' ? [...rest, 'orphan'] : rest;
}

/** Asked for before, with no less patience: nothing changes. */
function isUnderway(old: KubeObject, grace: number, finalizers: readonly string[]): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers: before = [] } = old.metadata;
  const sooner = grace < deletionGracePeriodSeconds;
  const same = before.length === finalizers.length && finalizers.every((finalizer) => before.includes(finalizer));
  return deletionTimestamp !== undefined && !sooner && same && !isFinished(old);
}

function marked(old: KubeObject, grace: number, finalizers: readonly string[]): KubeObject {
  const { finalizers: _, ...metadata } = old.metadata;
  const first = metadata.deletionTimestamp === undefined;
  const object: KubeObject = {
    ...old,
    metadata: {
      ...metadata,
      ...(first && metadata.generation !== undefined && { generation: metadata.generation + 1 }),
      deletionTimestamp: grace > 0 ? now(grace) : (metadata.deletionTimestamp ?? now()),
      deletionGracePeriodSeconds: first ? grace : Math.min(grace, metadata.deletionGracePeriodSeconds ?? 0),
      ...(finalizers.length > 0 && { finalizers: [...finalizers] }),
    },
  };
  if (old.kind === 'Namespace') object['status'] = { ...(old['status'] as object), phase: 'Terminating' };
  return object;
}
