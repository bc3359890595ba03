// Room objects: whether an object may be stored, and why not.
import type { KindRow } from '../kinds.ts';
import type { StatusCause, StatusError } from '../status.ts';
import type { DraftObject, KubeObject } from '../types.ts';

export interface ValidateOptions {
  /** `status`: only what a writer of the status may change is looked at. */
  readonly subresource?: string | undefined;
}

/**
 * Every reason why the (defaulted) object may not be stored; empty when it may. With `old` also the rules of an update:
 * immutable fields, name, namespace, uid. metadata.name must be set by then (generateName is the API server's).
 */
export function validate(
  kind: KindRow,
  object: DraftObject,
  old?: KubeObject,
  options: ValidateOptions = {},
): StatusCause[] {
  throw new Error(`not yet: ${kind.kind} ${object.metadata.name} ${old?.metadata.name} ${options.subresource}`);
}

/** 422: `Deployment.apps "web" is invalid: spec.selector: Required value`. */
export function invalid(kind: KindRow, name: string, causes: readonly StatusCause[]): StatusError {
  throw new Error(`not yet: ${kind.kind} ${name} ${causes.length}`);
}
