// Room objects: the values that Kubernetes fills in where a client left a field out.
import type { KindRow } from '../kinds.ts';
import type { DraftObject } from '../types.ts';

/** Fills the object in place. Doing it twice changes nothing. Call it after decode() and after every patch, before validate(). */
export function applyDefaults(kind: KindRow, object: DraftObject): void {
  throw new Error(`not yet: ${kind.kind} ${object.metadata.name}`);
}
