// Room objects: the OpenAPI documents that kubectl reads for explain, apply and --validate.

/** GET /openapi/v3: `{paths: {"api/v1": {serverRelativeURL: "/openapi/v3/api/v1?hash=…"}}}`. */
export function openapiV3Index(): { paths: Record<string, { serverRelativeURL: string }> } {
  throw new Error('not yet');
}

/** GET /openapi/v3/<path>, path as in the index (`api/v1`, `apis/apps/v1`): JSON text, or undefined for an unknown group version. */
export function openapiV3(path: string): string | undefined {
  throw new Error(`not yet: ${path}`);
}

/** GET /openapi/v2 as JSON text. */
export function openapiV2(): string {
  throw new Error('not yet');
}
