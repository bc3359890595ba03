// Room objects: the OpenAPI documents that kubectl reads for explain, apply and --validate.
import { apiVersionOf, KINDS } from './kinds.ts';
import { readGenerated, readGeneratedBytes } from './schema/models.ts';

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

/** GET /openapi/v2 as JSON text. */
export function openapiV2(): string {
  return readGenerated('openapi/v2.json');
}

/**
 * GET /openapi/v2 as gnostic's protobuf. kubectl reads it, and takes no JSON, for what v3 does not describe: kinds that are not
 * served, `kind: List` among them.
 */
export function openapiV2Protobuf(): Buffer {
  return readGeneratedBytes('openapi/v2.pb');
}
