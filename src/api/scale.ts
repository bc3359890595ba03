// Room api: the subresource `scale`: autoscaling/v1 Scale as a window on spec.replicas.
import type { LabelSelector } from '../objects/select.ts';
import { failure } from '../objects/status.ts';
import type { DraftObject, KubeObject } from '../objects/types.ts';
import type { Call } from './answer.ts';
import { objectIn, textIn } from './body.ts';
import { Entry } from './bucket.ts';
import { badRequest } from './errors.ts';
import type { ResourceRoute } from './path.ts';
import { getEntry } from './read.ts';
import { applyPatch } from './update.ts';
import { replace, type WriteContext, writeOptions } from './write.ts';

interface Scaled {
  spec?: { replicas?: number; selector?: LabelSelector | Record<string, string> };
  status?: { replicas?: number };
}

export function scaleOf(object: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const { spec = {}, status = {} } = object as unknown as Scaled;
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, ...(namespace && { namespace }), uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec.replicas ?? 1 },
    status: { replicas: status.replicas ?? 0, selector: selectorText(spec.selector) },
  };
}

/** As `?labelSelector=` takes it. */
function selectorText(selector: LabelSelector | Record<string, string> | undefined): string {
  if (!selector) return '';
  const { matchLabels, matchExpressions } = selector as LabelSelector;
  const labels = matchLabels ?? (matchExpressions ? {} : (selector as Record<string, string>));
  const terms = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  for (const { key, operator, values = [] } of matchExpressions ?? []) {
    if (operator === 'Exists') terms.push(key);
    else if (operator === 'DoesNotExist') terms.push(`!${key}`);
    else terms.push(`${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`);
  }
  return terms.join(',');
}

export function getScale(context: WriteContext, route: ResourceRoute): Entry {
  const entry = getEntry(context.store, route);
  return Entry.fromObject(entry.rev, scaleOf(entry.object));
}

/** PUT and PATCH. */
export function writeScale(context: WriteContext, route: ResourceRoute, call: Call): Entry {
  const options = writeOptions(call);
  const current = getEntry(context.store, route);
  const scale = (
    call.method === 'PATCH' ? applyPatch(route.row, scaleOf(current.object), call) : call.body
  ) as DraftObject;
  if (objectIn(scale)['kind'] !== 'Scale') {
    throw badRequest('the body of a request to scale must be a Scale of autoscaling/v1');
  }
  const replicas = objectIn(scale['spec'])['replicas'] ?? 0;
  if (!Number.isInteger(replicas) || (replicas as number) < 0) {
    const message = `Scale.autoscaling "${route.name}" is invalid: spec.replicas: Invalid value: ${replicas}: must be greater than or equal to 0`;
    throw failure(422, 'Invalid', message);
  }
  const metadata = objectIn(scale.metadata);
  const uid = textIn(metadata['uid']);
  const resourceVersion = textIn(metadata['resourceVersion']);
  const next: DraftObject = {
    ...current.object,
    metadata: { ...current.object.metadata, ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) },
    spec: { ...(current.object['spec'] as object), replicas },
  };
  const { entry } = replace(context, { ...route, subresource: undefined }, current, next, options);
  return Entry.fromObject(entry.rev, scaleOf(entry.object));
}
