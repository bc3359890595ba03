// Room api: update and the three kinds of patch.
import type { ApiRequest } from '../client/transport.ts';
import type { KindRow } from '../objects/kinds.ts';
import { jsonPatch } from '../objects/patch/json.ts';
import { mergePatch } from '../objects/patch/merge.ts';
import { strategicMergePatch } from '../objects/patch/strategic.ts';
import { failure } from '../objects/status.ts';
import type { Call } from './answer.ts';
import type { ResourceRoute } from './path.ts';
import { getEntry } from './read.ts';
import { decodeBody, replace, type WriteContext, type Written, writeOptions } from './write.ts';

export function update(context: WriteContext, route: ResourceRoute, call: Call): Written {
  const options = writeOptions(call);
  const current = getEntry(context.store, route);
  const { object, warnings } = decodeBody(route, call.body, options);
  return { ...replace(context, route, current, object, options), warnings };
}

export function patch(context: WriteContext, route: ResourceRoute, call: Call): Written {
  const options = writeOptions(call);
  const patcher = patcherOf(call); // refused whether or not the object is there: an apply would make it
  const current = getEntry(context.store, route);
  const patched = patcher(route.row, JSON.parse(current.json), call.body);
  const { object, warnings } = decodeBody(route, patched, options);
  return { ...replace(context, route, current, object, options), warnings };
}

type Patcher = <T>(row: KindRow, current: T, patch: unknown) => T;

const PATCHERS: Readonly<Record<string, Patcher>> = {
  'application/json-patch+json': (_, current, patch) => jsonPatch(current, patch),
  'application/merge-patch+json': (_, current, patch) => mergePatch(current, patch),
  'application/strategic-merge-patch+json': strategicMergePatch,
};

function patcherOf(request: Pick<ApiRequest, 'headers'>): Patcher {
  const mediaType = (request.headers?.['content-type'] ?? '').split(';')[0]!.trim();
  if (mediaType === 'application/apply-patch+yaml') {
    throw unsupported('server-side apply is not served yet: use kubectl apply without --server-side');
  }
  const known = Object.keys(PATCHERS).join(', ');
  const unknown = `the body of the request was in an unknown format - accepted media types include: ${known}`;
  if (!Object.hasOwn(PATCHERS, mediaType)) throw unsupported(unknown);
  return PATCHERS[mediaType]!;
}

/** `current` is the patch's to change. */
export function applyPatch<T>(row: KindRow, current: T, request: Pick<ApiRequest, 'headers' | 'body'>): T {
  return patcherOf(request)(row, current, request.body);
}

function unsupported(message: string): Error {
  return failure(415, 'UnsupportedMediaType', message);
}
