// Room objects: JSON Patch (RFC 6902).

/** The patched copy; `current` is not changed. Throws a StatusError: 400 for a malformed patch, 422 when it does not apply. */
export function jsonPatch<T>(current: T, patch: unknown): T {
  throw new Error(`not yet: ${current} ${patch}`);
}
