// Room objects: what a client sent, checked against the schema of its kind and stripped of unknown fields.
import { apiVersionOf, type KindRow } from './kinds.ts';
import { isJsonObject, setKey } from './patch/merge.ts';
import { type FieldType, type Model, modelOf } from './schema/models.ts';
import { DecodeError, jsonType, mismatch, readScalar } from './schema/scalars.ts';
import { failure, type StatusError } from './status.ts';
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
 * Fields that are null are removed; required fields of a plain type that are missing are zero. Throws a StatusError: 400 BadRequest for another kind, a wrong JSON type, or (Strict) an unknown field.
 */
export function decode(kind: KindRow, body: unknown, fieldValidation: FieldValidation = 'Warn'): Decoded {
  if (!isJsonObject(body)) {
    throw unrecognized(kind, `${jsonType(body)} into Go value of type struct { APIVersion string; Kind string }`);
  }
  const apiVersion = apiVersionOf(kind);
  checkKind(kind, apiVersion, body);
  const unknown = walkWhole(kind, modelOf(kind.model), body);
  if (fieldValidation === 'Strict' && unknown.length > 0) {
    throw cannotHandle(kind, `strict decoding error: ${unknown.join(', ')}`);
  }
  body['apiVersion'] = apiVersion;
  body['kind'] = kind.apiKind;
  body['metadata'] ??= {};
  return { object: body as DraftObject, warnings: fieldValidation === 'Warn' ? unknown : [] };
}

/** Decodes the body of a request or subresource by the name of its model: V1DeleteOptions, V1Scale, V1Eviction. Throws as decode() does. */
export function decodeModel<T>(model: string, body: unknown): T {
  const name = modelOf(model).schemaName.split('.').pop()!;
  const row = { apiKind: name, version: 'v1' };
  if (!isJsonObject(body))
    throw cannotHandle(row, `json: cannot unmarshal ${jsonType(body)} into Go value of type v1.${name}`);
  walkWhole(row, modelOf(model), body);
  return body as T;
}

/** Removes in place what the schema does not know and says what it was: `unknown field "spec.foo"`. Throws as decode() does. */
export function prune(kind: KindRow, object: DraftObject): string[] {
  return walkWhole(kind, modelOf(kind.model), object);
}

interface KindName {
  readonly apiKind: string;
  readonly version: string;
}

function walkWhole(kind: KindName, model: Model, object: Record<string, unknown>): string[] {
  const unknown: string[] = [];
  try {
    walkObject(model, object, { path: '', stack: [], unknown });
  } catch (error) {
    if (error instanceof DecodeError) throw cannotHandle(kind, error.message);
    throw error;
  }
  return unknown;
}

function unrecognized(kind: KindRow, what: string): StatusError {
  return failure(
    400,
    'BadRequest',
    `the object provided is unrecognized (must be of type ${kind.apiKind}): couldn't get version/kind; json parse error: ` +
      `json: cannot unmarshal ${what}`,
  );
}

function checkKind(kind: KindRow, apiVersion: string, body: Record<string, unknown>): void {
  for (const field of ['apiVersion', 'kind']) {
    const value = body[field] ?? '';
    if (typeof value !== 'string') {
      throw unrecognized(kind, `${jsonType(value)} into Go struct field .${field} of type string`);
    }
  }
  const sent = { apiVersion: body['apiVersion'] || apiVersion, kind: body['kind'] || kind.apiKind };
  if (sent.kind !== kind.apiKind) {
    const version = String(sent.apiVersion).split('/').pop();
    throw failure(
      400,
      'BadRequest',
      `${sent.kind} in version "${version}" cannot be handled as a ${kind.apiKind}: ` +
        `the object is a ${sent.kind} of ${sent.apiVersion}, this resource takes ${kind.apiKind} of ${apiVersion}`,
    );
  }
  if (sent.apiVersion !== apiVersion) {
    throw failure(
      400,
      'BadRequest',
      `the API version in the data (${sent.apiVersion}) does not match the expected API version (${apiVersion})`,
    );
  }
}

function cannotHandle(kind: KindName, why: string): StatusError {
  return failure(
    400,
    'BadRequest',
    `${kind.apiKind} in version "${kind.version}" cannot be handled as a ${kind.apiKind}: ${why}`,
  );
}

interface Walk {
  /** With indexes: `spec.ports[0]`. */
  readonly path: string;
  /** Go's names of the fields on the way, without indexes. */
  readonly stack: readonly string[];
  readonly unknown: string[];
}

function walkObject(model: Model, object: Record<string, unknown>, walk: Walk): void {
  for (const key of Object.keys(object)) {
    const value = object[key];
    const field = model.fields.get(key);
    if (!field) {
      walk.unknown.push(`unknown field "${pathTo(walk, key)}"`);
      delete object[key];
    } else if (value === null || value === undefined) delete object[key];
    else if (typeof value !== 'string' || field.type.is !== 'string') {
      const inner = { path: pathTo(walk, key), stack: [...walk.stack, key], unknown: walk.unknown };
      object[key] = walkValue(field.type, value, inner, model);
    }
  }
  for (const [name, zero] of model.zeros) if (object[name] === undefined) object[name] = zero;
}

function pathTo(walk: Walk, key: string): string {
  return walk.path ? `${walk.path}.${key}` : key;
}

function walkValue(type: FieldType, value: unknown, walk: Walk, struct: Model): unknown {
  const wrong = () => mismatch(type, value, { struct, stack: walk.stack });
  if (type.is === 'object') {
    if (!isJsonObject(value)) throw wrong();
    walkObject(modelOf(type.model), value, walk);
  } else if (type.is === 'list') {
    if (!Array.isArray(value)) throw wrong();
    for (const [i, element] of value.entries()) {
      const inner = { ...walk, path: `${walk.path}[${i}]` };
      value[i] = walkValue(type.of, element ?? zero(type.of), inner, struct);
    }
  } else if (type.is === 'map') {
    if (!isJsonObject(value)) throw wrong();
    for (const [key, element] of Object.entries(value)) {
      const inner = { ...walk, path: pathTo(walk, key) };
      setKey(value, key, walkValue(type.of, element ?? zero(type.of), inner, struct));
    }
  } else return readScalar(type.is, value, { struct, stack: walk.stack });
  return value;
}

function zero(type: FieldType): unknown {
  if (type.is === 'object' || type.is === 'map') return {};
  if (type.is === 'list') return [];
  if (type.is === 'boolean') return false;
  if (type.is === 'quantity') return '0';
  return ['int32', 'int64', 'double'].includes(type.is) ? 0 : '';
}
