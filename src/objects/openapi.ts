// Room objects: the OpenAPI documents that kubectl reads for explain, apply and --validate.
import { apiVersionOf, KINDS } from './kinds.ts';
import { readGenerated } from './schema/models.ts';

export interface OpenAPIIndex {
  paths: Record<string, { serverRelativeURL: string }>;
}

let index: OpenAPIIndex | undefined;

/** GET /openapi/v3: `{paths: {"api/v1": {serverRelativeURL: "/openapi/v3/api/v1?hash=…"}}}`. */
export function openapiV3Index(): OpenAPIIndex {
  index ??= JSON.parse(readGenerated('openapi/v3.json')) as OpenAPIIndex;
  return index;
}

/** GET /openapi/v3/<path>, path as in the index (`api/v1`, `apis/apps/v1`): JSON text, or undefined for an unknown group version. */
export function openapiV3(path: string): string | undefined {
  const known = KINDS.some((kind) => path === `${kind.group ? 'apis' : 'api'}/${apiVersionOf(kind)}`);
  return known ? readGenerated(`openapi/${path.replaceAll('/', '__')}.json`) : undefined;
}

/**
 * GET /openapi/v2 as JSON text, for clients that accept JSON. kubectl asks for v2 only when v3 does not answer, and then only
 * as protobuf (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`), which is not offered: answer that with 406.
 */
export function openapiV2(): string {
  return readGenerated('openapi/v2.json');
}
