// Room objects: strategic merge patch, which merges lists by the keys of their schema.
import type { KindRow } from '../kinds.ts';

/** The patched copy; `current` is not changed. Throws a StatusError (400 or 422) when the patch cannot be applied. */
export function strategicMergePatch<T>(kind: KindRow, current: T, patch: unknown): T {
  throw new Error(`not yet: ${kind.kind} ${current} ${patch}`);
}
