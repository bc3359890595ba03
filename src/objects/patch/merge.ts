// Room objects: JSON Merge Patch (RFC 7386).

/** The patched copy; `current` is not changed. Throws a StatusError (400) when the patch is not an object. */
export function mergePatch<T>(current: T, patch: unknown): T {
  throw new Error(`not yet: ${current} ${patch}`);
}
