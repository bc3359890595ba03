// Room api: what every write has in common: its options, its object's identity, and what is stored in the end.
import { isDeepStrictEqual } from 'node:util';
import { decode, type FieldValidation } from '../objects/decode.ts';
import { applyDefaults } from '../objects/defaults/defaults.ts';
import type { KindRow } from '../objects/kinds.ts';
import type { DraftObject, KubeObject } from '../objects/types.ts';
import { invalid, validate } from '../objects/validate/validate.ts';
import type { Admission } from './admit.ts';
import type { Call } from './answer.ts';
import { Entry } from './bucket.ts';
import { badRequest, conflict, resourceOf, staleObject } from './errors.ts';
import type { ResourceRoute } from './path.ts';
import type { Store } from './store.ts';

export interface WriteContext {
  readonly store: Store;
  readonly admission: Admission;
}

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldValidation: FieldValidation;
}

/** What a write left: the object as it is now, and whether it is gone with that. */
export interface Written {
  readonly entry: Entry;
  readonly removed: boolean;
  readonly warnings: readonly string[];
}

export function writeOptions(call: Pick<Call, 'query'>): WriteOptions {
  const { dryRun, fieldValidation = 'Warn' } = call.query ?? {};
  if (dryRun !== undefined && dryRun !== 'All') {
    throw badRequest(`dryRun: Unsupported value: "${dryRun}": supported values: "All"`);
  }
  if (fieldValidation !== 'Strict' && fieldValidation !== 'Warn' && fieldValidation !== 'Ignore') {
    const supported = 'supported values: "Ignore", "Strict", "Warn"';
    throw badRequest(`fieldValidation: Unsupported value: "${fieldValidation}": ${supported}`);
  }
  return { dryRun: dryRun !== undefined, fieldValidation };
}

/** The body as an object of the route's kind, in the route's namespace. */
export function decodeBody(route: ResourceRoute, body: unknown, options: WriteOptions) {
  const { object, warnings } = decode(route.row, body, options.fieldValidation);
  const { metadata } = object;
  if (route.row.namespaced) {
    if (route.namespace === undefined) throw badRequest('an object of this kind is written inside a namespace');
    if (metadata.namespace && metadata.namespace !== route.namespace) {
      throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
    }
    metadata.namespace = route.namespace;
  } else delete metadata.namespace;
  delete metadata.managedFields;
  delete metadata.selfLink;
  return { object, warnings };
}

export function store(context: WriteContext, row: KindRow, object: KubeObject, dryRun: boolean): Entry {
  if (dryRun) {
    if (!object.metadata.resourceVersion) Reflect.deleteProperty(object.metadata, 'resourceVersion');
    return Entry.fromObject(0, object);
  }
  return context.store.put(resourceOf(row), object);
}

/** Replaces `current` by `next`, as an update, a patch or a subresource made it. */
export function replace(
  context: WriteContext,
  route: ResourceRoute,
  current: Entry,
  next: DraftObject,
  options: WriteOptions,
): Omit<Written, 'warnings'> {
  const { row } = route;
  const old = current.object;
  checkIdentity(row, old, next);
  const object = keepWhatIsNotItsToChange(row, old, next, route.subresource);
  applyDefaults(row, object);
  if (route.subresource !== 'status') context.admission.update(row, object, old);
  const causes = validate(row, object, old, { subresource: route.subresource });
  if (causes.length > 0) throw invalid(row, old.metadata.name, causes);
  if (isFinished(object)) return { entry: removeNow(context, row, object, options.dryRun), removed: true };
  if (isDeepStrictEqual(object, old)) return { entry: current, removed: false };
  if (old.metadata.generation !== undefined && !isDeepStrictEqual(desired(object), desired(old))) {
    object.metadata.generation = old.metadata.generation + 1;
  }
  return { entry: store(context, row, object, options.dryRun), removed: false };
}

function checkIdentity(row: KindRow, old: KubeObject, next: DraftObject): void {
  const { name, uid, resourceVersion } = next.metadata;
  const is = old.metadata;
  if (name !== undefined && name !== is.name) {
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${is.name})`);
  }
  if (uid && uid !== is.uid) {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${is.uid}`;
    throw conflict(row, is.name, why);
  }
  if (resourceVersion && resourceVersion !== is.resourceVersion) throw staleObject(row, is.name);
}

/** A write to `status` changes the status alone; any other write changes all but the status and what the server set. */
function keepWhatIsNotItsToChange(
  row: KindRow,
  old: KubeObject,
  next: DraftObject,
  subresource: string | undefined,
): KubeObject {
  if (subresource === 'status') return { ...old, metadata: { ...old.metadata }, status: next['status'] };
  const { labels, annotations, ownerReferences, finalizers } = next.metadata;
  const metadata = { ...old.metadata };
  for (const [field, value] of Object.entries({ labels, annotations, ownerReferences, finalizers })) {
    const empty = value === undefined || Object.keys(value).length === 0;
    if (empty) Reflect.deleteProperty(metadata, field);
    else Reflect.set(metadata, field, value);
  }
  const object: KubeObject = { ...next, metadata };
  if (row.subresources.includes('status')) {
    if (old['status'] === undefined) delete object['status'];
    else object['status'] = old['status'];
  }
  if (subresource !== 'finalize' && row.kind === 'Namespace') object['spec'] = old['spec'];
  return object;
}

/** What the user wants, whose change makes a new generation: the spec, or all but the metadata where a kind has no spec. */
function desired(object: KubeObject): unknown {
  if (object['spec'] !== undefined) return object['spec'];
  const { metadata: _, status: __, ...rest } = object;
  return rest;
}

/** Deletion was asked for, and nobody holds the object back any more. */
export function isFinished(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  const spec = object['spec'] as { finalizers?: string[] } | undefined;
  const held = (finalizers?.length ?? 0) > 0 || (object.kind === 'Namespace' && (spec?.finalizers?.length ?? 0) > 0);
  return deletionTimestamp !== undefined && (deletionGracePeriodSeconds ?? 0) === 0 && !held;
}

export function removeNow(context: WriteContext, row: KindRow, object: KubeObject, dryRun: boolean): Entry {
  if (dryRun) return Entry.fromObject(0, object);
  return context.store.remove(resourceOf(row), object);
}
