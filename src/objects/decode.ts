// Room objects: what a client sent, checked against the schema of its kind and stripped of unknown fields.
import { apiVersionOf, type KindRow } from './kinds.ts';
import { parseQuantity, QUANTITY_SYNTAX } from './quantity.ts';
import { type FieldType, type Model, modelOf, type Scalar } from './schema/models.ts';
import { failure, type StatusError } from './status.ts';
import type { DraftObject } from './types.ts';

/** What to do about fields that the schema does not know: refuse (400), answer with a warning header, or drop them silently. */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

export interface Decoded {
  readonly object: DraftObject;
  /** Texts for `Warning: 299 - "…"` headers. */
  readonly warnings: readonly string[];
}

/** A value of another JSON type than the schema's. The message is that of Go's decoder. */
class DecodeError extends Error {}

/**
 * Takes a parsed JSON body over: the object is the body itself, without its unknown fields and with apiVersion, kind and metadata set.
 * Fields that are null are removed. Throws a StatusError: 400 BadRequest for another kind, a wrong JSON type, or (Strict) an unknown field.
 */
export function decode(kind: KindRow, body: unknown, fieldValidation: FieldValidation = 'Warn'): Decoded {
  if (!isObject(body)) {
    throw failure(
      400,
      'BadRequest',
      `the object provided is unrecognized (must be of type ${kind.kind}): couldn't get version/kind; json parse error: ` +
        `json: cannot unmarshal ${jsonType(body)} into Go value of type struct { APIVersion string; Kind string }`,
    );
  }
  const apiVersion = apiVersionOf(kind);
  checkKind(kind, apiVersion, body);
  const unknown: string[] = [];
  try {
    walkObject(modelOf(kind.model), body, { path: '', stack: [], unknown });
  } catch (error) {
    if (error instanceof DecodeError) throw cannotHandle(kind, error.message);
    throw error;
  }
  if (fieldValidation === 'Strict' && unknown.length > 0) {
    throw cannotHandle(kind, `strict decoding error: ${unknown.join(', ')}`);
  }
  body['apiVersion'] = apiVersion;
  body['kind'] = kind.kind;
  body['metadata'] ??= {};
  return { object: body as DraftObject, warnings: fieldValidation === 'Warn' ? unknown : [] };
}

/** Decodes the body of a request or subresource by the name of its model: V1DeleteOptions, V1Scale, V1Eviction. Throws as decode() does. */
export function decodeModel<T>(model: string, body: unknown): T {
  const name = modelOf(model).schemaName.split('.').pop()!;
  const row = { kind: name, version: 'v1' };
  if (!isObject(body))
    throw cannotHandle(row, `json: cannot unmarshal ${jsonType(body)} into Go value of type v1.${name}`);
  try {
    walkObject(modelOf(model), body, { path: '', stack: [], unknown: [] });
  } catch (error) {
    if (error instanceof DecodeError) throw cannotHandle(row, error.message);
    throw error;
  }
  return body as T;
}

/** Removes in place what the schema does not know and says what it was: `unknown field "spec.foo"`. */
export function prune(kind: KindRow, object: DraftObject): string[] {
  const unknown: string[] = [];
  walkObject(modelOf(kind.model), object, { path: '', stack: [], unknown });
  return unknown;
}

function checkKind(kind: KindRow, apiVersion: string, body: Record<string, unknown>): void {
  const sent = { apiVersion: body['apiVersion'] || apiVersion, kind: body['kind'] || kind.kind };
  if (sent.kind !== kind.kind) {
    const version = String(sent.apiVersion).split('/').pop();
    throw failure(
      400,
      'BadRequest',
      `${sent.kind} in version "${version}" cannot be handled as a ${kind.kind}: ` +
        `the object is a ${sent.kind} of ${sent.apiVersion}, this resource takes ${kind.kind} of ${apiVersion}`,
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

function cannotHandle(kind: { readonly kind: string; readonly version: string }, why: string): StatusError {
  return failure(
    400,
    'BadRequest',
    `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: ${why}`,
  );
}

interface Walk {
  /** With indexes: `spec.ports[0]`. */
  readonly path: string;
  /** Go's names of the fields on the way, without indexes. */
  readonly stack: readonly string[];
  readonly unknown: string[];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function walkObject(model: Model, object: Record<string, unknown>, walk: Walk): void {
  for (const key of Object.keys(object)) {
    const value = object[key];
    const field = model.fields.get(key);
    const path = walk.path ? `${walk.path}.${key}` : key;
    if (!field) {
      walk.unknown.push(`unknown field "${path}"`);
      delete object[key];
    } else if (value === null || value === undefined) delete object[key];
    else if (typeof value === 'string' && field.type.is === 'string') continue;
    else {
      object[key] = walkValue(field.type, value, { path, stack: [...walk.stack, key], unknown: walk.unknown }, model);
    }
  }
}

function walkValue(type: FieldType, value: unknown, walk: Walk, struct: Model): unknown {
  if (type.is === 'object') {
    if (!isObject(value)) throw mismatch(type, value, walk, struct);
    walkObject(modelOf(type.model), value, walk);
  } else if (type.is === 'list') {
    if (!Array.isArray(value)) throw mismatch(type, value, walk, struct);
    for (const [i, element] of value.entries()) {
      const inner = { ...walk, path: `${walk.path}[${i}]` };
      value[i] = element === null ? zero(type.of) : walkValue(type.of, element, inner, struct);
    }
  } else if (type.is === 'map') {
    if (!isObject(value)) throw mismatch(type, value, walk, struct);
    for (const [key, element] of Object.entries(value)) {
      const inner = { ...walk, path: `${walk.path}.${key}` };
      value[key] = element === null ? zero(type.of) : walkValue(type.of, element, inner, struct);
    }
  } else return scalar(type.is, value, walk, struct);
  return value;
}

function zero(type: FieldType): unknown {
  if (type.is === 'object' || type.is === 'map') return {};
  if (type.is === 'list') return [];
  if (type.is === 'boolean') return false;
  return ['int32', 'int64', 'double'].includes(type.is) ? 0 : '';
}

const INT_LIMITS: Readonly<Partial<Record<Scalar, number>>> = { int32: 2 ** 31, int64: 2 ** 63 };

function scalar(type: Scalar, value: unknown, walk: Walk, struct: Model): unknown {
  const wrong = () => mismatch({ is: type }, value, walk, struct);
  switch (type) {
    case 'any':
      return value;
    case 'boolean':
      if (typeof value !== 'boolean') throw wrong();
      return value;
    case 'double':
      if (typeof value !== 'number') throw wrong();
      return value;
    case 'int32':
    case 'int64':
      if (!isInteger(value, INT_LIMITS[type]!)) throw wrong();
      return value;
    case 'intOrString':
      if (typeof value !== 'string' && !isInteger(value, 2 ** 31)) throw wrong();
      return value;
    case 'quantity':
      return quantity(value, wrong);
    case 'time':
    case 'microtime':
      return time(value, type, wrong);
    case 'bytes':
      if (typeof value !== 'string') throw wrong();
      return bytes(value);
    default:
      if (typeof value !== 'string') throw wrong();
      return value;
  }
}

function isInteger(value: unknown, limit: number): boolean {
  return Number.isInteger(value) && (value as number) < limit && (value as number) >= -limit;
}

/** Numbers are quantities too (`cpu: 2`), and are kept as text. */
function quantity(value: unknown, wrong: () => DecodeError): string {
  if (typeof value !== 'string' && typeof value !== 'number') throw wrong();
  const text = String(value).trim();
  if (parseQuantity(text) === undefined) {
    throw new DecodeError(QUANTITY_SYNTAX.test(text) ? "unable to parse quantity's suffix" : MALFORMED_QUANTITY);
  }
  return text;
}

const MALFORMED_QUANTITY = `quantities must match the regular expression '${QUANTITY_SYNTAX.source}'`;
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

function time(value: unknown, type: 'time' | 'microtime', wrong: () => DecodeError): string {
  if (typeof value !== 'string') throw wrong();
  const milliseconds = RFC3339.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(milliseconds)) {
    const layout = type === 'time' ? '2006-01-02T15:04:05Z07:00' : '2006-01-02T15:04:05.000000Z07:00';
    throw new DecodeError(`parsing time ${JSON.stringify(value)} as "${layout}": cannot parse it`);
  }
  if (type === 'time') return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
  const fraction = /\.(\d+)/.exec(value)?.[1] ?? '';
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, `.${fraction.padEnd(6, '0').slice(0, 6)}Z`);
}

function bytes(value: string): string {
  const clean = value.replace(/[\r\n]/g, '');
  const bad = clean.search(/[^A-Za-z0-9+/=]|=[^=]/);
  if (bad >= 0) throw new DecodeError(`illegal base64 data at input byte ${bad}`);
  if (clean.length % 4 !== 0) {
    throw new DecodeError(`illegal base64 data at input byte ${clean.length - (clean.length % 4)}`);
  }
  return clean;
}

const GO_TYPES: Readonly<Record<Scalar, string>> = {
  string: 'string',
  boolean: 'bool',
  int32: 'int32',
  int64: 'int64',
  double: 'float32',
  time: 'string',
  microtime: 'string',
  bytes: '[]uint8',
  quantity: 'string',
  intOrString: 'int32',
  any: 'interface {}',
};

function goType(type: FieldType): string {
  if (type.is === 'object') return `v1.${modelOf(type.model).schemaName.split('.').pop()}`;
  if (type.is === 'list') return `[]${goType(type.of)}`;
  if (type.is === 'map') return `map[string]${goType(type.of)}`;
  return GO_TYPES[type.is];
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  return value === null ? 'null' : typeof value;
}

function mismatch(type: FieldType, value: unknown, walk: Walk, struct: Model): DecodeError {
  const number = typeof value === 'number' && /^(int|double)/.test(type.is);
  const what = number ? `number ${value}` : jsonType(value);
  const field = `${struct.schemaName.split('.').pop()}.${walk.stack.join('.')}`;
  return new DecodeError(`json: cannot unmarshal ${what} into Go struct field ${field} of type ${goType(type)}`);
}
