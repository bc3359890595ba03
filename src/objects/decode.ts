// Room objects: what a client sent, checked against the schema of its kind and stripped of unknown fields.
import type { KindRow } from './kinds.ts';
import type { DraftObject } from './types.ts';

/** What to do about fields that the schema does not know: refuse (400), answer with a warning header, or drop them silently. */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

export interface Decoded {
  readonly object: DraftObject;
  /** Texts for `Warning: 299 - "…"` headers. */
  readonly warnings: readonly string[];
}

/**
 * Takes a parsed JSON body over: the object is the body itself, without its unknown fields and with apiVersion, kind and metadata set.
 * Throws a StatusError: 400 BadRequest for another kind, a wrong JSON type, or (Strict) an unknown field.
 */
export function decode(kind: KindRow, body: unknown, fieldValidation: FieldValidation = 'Warn'): Decoded {
  throw new Error(`not yet: ${kind.kind} ${typeof body} ${fieldValidation}`);
}
