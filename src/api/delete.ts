// Room api: delete and deletecollection: grace, finalizers and propagation decide between now and later.
import type { KindRow } from '../objects/kinds.ts';
import { timestamp } from '../objects/time.ts';
import type { KubeObject, Pod } from '../objects/types.ts';
import { type Answer, type Call, objectAnswer, success } from './answer.ts';
import { integerIn, objectIn, textIn, textsIn } from './body.ts';
import type { Entry } from './bucket.ts';
import { badRequest, conflict, forbidden, resourceOf } from './errors.ts';
import type { ResourceRoute } from './path.ts';
import { countOf, getEntry, selectionOf } from './read.ts';
import { isFinished, removeNow, store, type WriteContext, type Written, writeOptions } from './write.ts';

export interface DeleteBody {
  readonly gracePeriodSeconds: number | undefined;
  readonly propagationPolicy: 'Background' | 'Foreground' | 'Orphan' | undefined;
  readonly preconditions: { readonly uid: string | undefined; readonly resourceVersion: string | undefined };
  readonly dryRun: boolean;
}

/** metav1.DeleteOptions, where the body wins over the query. `orphanDependents` is the word from before propagationPolicy. */
export function deleteBody(call: Pick<Call, 'body' | 'query'>): DeleteBody {
  const body = objectIn(call.body);
  const { gracePeriodSeconds, propagationPolicy } = call.query ?? {};
  const policy =
    textIn(body['propagationPolicy']) ?? (body['orphanDependents'] === true ? 'Orphan' : propagationPolicy);
  if (policy && policy !== 'Background' && policy !== 'Foreground' && policy !== 'Orphan') {
    throw badRequest(`propagationPolicy: Unsupported value: "${policy}"`);
  }
  const preconditions = objectIn(body['preconditions']);
  return {
    gracePeriodSeconds:
      integerIn(body['gracePeriodSeconds']) ??
      (gracePeriodSeconds ? countOf(call.query ?? {}, 'gracePeriodSeconds') : undefined),
    propagationPolicy: (policy || undefined) as DeleteBody['propagationPolicy'],
    preconditions: { uid: textIn(preconditions['uid']), resourceVersion: textIn(preconditions['resourceVersion']) },
    dryRun: writeOptions(call).dryRun || textsIn(body['dryRun']).includes('All'),
  };
}

export async function remove(context: WriteContext, route: ResourceRoute, call: Call): Promise<Answer> {
  const current = getEntry(context.store, route);
  const body = deleteBody(call);
  const { entry, removed } = removeEntry(context, route.row, current, body);
  await context.store.durable(entry.rev);
  const { name, uid } = entry.object.metadata;
  return removed ? success(route.row, name, uid) : objectAnswer(route.row, entry);
}

export async function removeCollection(context: WriteContext, route: ResourceRoute, call: Call): Promise<Answer> {
  const { row, namespace } = route;
  const body = deleteBody(call);
  const matches = selectionOf(row, call.query ?? {});
  const entries: Entry[] = [];
  for (const current of context.store.bucket(resourceOf(row)).list(namespace)) {
    if (!matches || matches(current.object)) entries.push(removeEntry(context, row, current, body).entry);
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
): Omit<Written, 'warnings'> {
  const old = current.object;
  checkDeletable(row, old, body);
  const grace = graceFor(old, body);
  const finalizers = finalizersFor(old, body);
  if (isUnderway(old, grace, finalizers)) return { entry: current, removed: false };
  const object = marked(old, grace, finalizers);
  if (isFinished(object)) return { entry: removeNow(context, row, object, body.dryRun), removed: true };
  return { entry: store(context, row, object, body.dryRun), removed: false };
}

const KEPT_NAMESPACES = new Set(['default', 'kube-system', 'kube-public', 'kube-node-lease']);

function checkDeletable(row: KindRow, old: KubeObject, { preconditions }: DeleteBody): void {
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
const LONGEST_GRACE_SECONDS = 2 ** 31 - 1;

/** Seconds until a pod on a node is killed; everything else, and a pod that runs nowhere, goes at once. */
function graceFor(old: KubeObject, body: DeleteBody): number {
  if (old.kind !== 'Pod') return 0;
  const { spec, status } = old as unknown as Pod;
  if (!spec.nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') return 0;
  const wanted = body.gracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
  return wanted < 0 ? 1 : Math.min(wanted, LONGEST_GRACE_SECONDS);
}

/** Foreground waits for the dependents to go, Orphan for them to be let go of: the garbage collector takes these off. */
function finalizersFor(old: KubeObject, body: DeleteBody): readonly string[] {
  const policy = body.propagationPolicy;
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
      deletionTimestamp:
        grace > 0 ? timestamp(Date.now() + grace * 1000) : (metadata.deletionTimestamp ?? timestamp(Date.now())),
      deletionGracePeriodSeconds: first ? grace : Math.min(grace, metadata.deletionGracePeriodSeconds ?? 0),
      ...(finalizers.length > 0 && { finalizers: [...finalizers] }),
    },
  };
  if (old.kind === 'Namespace') object['status'] = { ...(old['status'] as object), phase: 'Terminating' };
  return object;
}
