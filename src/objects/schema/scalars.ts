// Room objects: the scalar values of a body: whether they are what their type says, in the words of Go's JSON decoder.
import { parseQuantity, QUANTITY_SYNTAX } from '../quantity.ts';
import { type FieldType, type Model, modelOf, type Scalar } from './models.ts';

/** A value of another JSON type than the schema's. The message is that of Go's decoder. */
export class DecodeError extends Error {}

/** Where a value stands. */
export interface Place {
  /** The innermost object that holds it. */
  readonly struct: Model;
  /** Names of the fields on the way, without indexes. */
  readonly stack: readonly string[];
}

const INT_LIMITS: Readonly<Partial<Record<Scalar, number>>> = { int32: 2 ** 31, int64: 2 ** 63 };

/** The value in its canonical form. Throws a DecodeError. */
export function readScalar(type: Scalar, value: unknown, place: Place): unknown {
  const wrong = () => mismatch({ is: type }, value, place);
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

export function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  return value === null ? 'null' : typeof value;
}

export function mismatch(type: FieldType, value: unknown, { struct, stack }: Place): DecodeError {
  const number = typeof value === 'number' && /^(int|double)/.test(type.is);
  const what = number ? `number ${value}` : jsonType(value);
  const field = `${struct.schemaName.split('.').pop()}.${stack.join('.')}`;
  return new DecodeError(`json: cannot unmarshal ${what} into Go struct field ${field} of type ${goType(type)}`);
}
