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
  const current = getEntry(context.store, route);
  const patched = applyPatch(route.row, JSON.parse(current.json), call);
  const { object, warnings } = decodeBody(route, patched, options);
  return { ...replace(context, route, current, object, options), warnings };
}

/** `current` is the patch's to change. */
export function applyPatch<T>(row: KindRow, current: T, request: Pick<ApiRequest, 'headers' | 'body'>): T {
  const mediaType = (request.headers?.['content-type'] ?? '').split(';')[0]!.trim();
  switch (mediaType) {
    case 'application/json-patch+json':
      return jsonPatch(current, request.body);
    case 'application/merge-patch+json':
      return mergePatch(current, request.body);
    case 'application/strategic-merge-patch+json':
      return strategicMergePatch(row, current, request.body);
    case 'application/apply-patch+yaml':
      throw unsupported('server-side apply is not served yet: use kubectl apply without --server-side');
    default:
      throw unsupported(
        `the body of the request was in an unknown format - accepted media types include: ` +
          'application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json',
      );
  }
}

function unsupported(message: string): Error {
  return failure(415, 'UnsupportedMediaType', message);
}
