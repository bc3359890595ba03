// Room objects: an OpenAPI v2 document as protobuf, in the messages of gnostic (openapiv2/OpenAPIv2.proto), which kubectl reads.
import type { Json } from './dialect.ts';

/**
 * Field of a message: its number and type. `yaml` is a value of any shape, which gnostic keeps as YAML text (JSON is YAML);
 * `[]X` is repeated, `{}X` a map, which gnostic writes as a message of one repeated field of (name, value) pairs.
 */
type Field = readonly [number: number, type: string];
interface Message {
  readonly fields: Readonly<Record<string, Field>>;
  /** Where keys that are not named go: extensions `x-…`, or the entries of a map that shares its message with them. */
  readonly extensions?: number;
  readonly entries?: Field;
}

const strings = (...names: readonly (readonly [string, number])[]) =>
  Object.fromEntries(names.map(([name, number]): [string, Field] => [name, [number, 'string']]));

/** Type and limits of parameters that are not bodies; gnostic gives them other numbers in a query than elsewhere. */
const parameter = (at: number): Record<string, Field> => ({
  required: [1, 'bool'],
  ...strings(['in', 2], ['description', 3], ['name', 4], ['type', at], ['format', at + 1]),
  default: [at + 4, 'yaml'],
  uniqueItems: [at + 14, 'bool'],
  enum: [at + 15, '[]yaml'],
});

const MESSAGES: Readonly<Record<string, Message>> = {
  Document: {
    fields: {
      ...strings(['swagger', 1], ['host', 3], ['basePath', 4]),
      info: [2, 'Info'],
      schemes: [5, '[]string'],
      consumes: [6, '[]string'],
      produces: [7, '[]string'],
      paths: [8, 'Paths'],
      definitions: [9, '{}Schema'],
    },
    extensions: 16,
  },
  Info: { fields: strings(['title', 1], ['version', 2], ['description', 3], ['termsOfService', 4]), extensions: 7 },
  Paths: { fields: {}, extensions: 1, entries: [2, 'PathItem'] },
  PathItem: {
    fields: {
      get: [2, 'Operation'],
      put: [3, 'Operation'],
      post: [4, 'Operation'],
      delete: [5, 'Operation'],
      options: [6, 'Operation'],
      head: [7, 'Operation'],
      patch: [8, 'Operation'],
      parameters: [9, '[]Parameter'],
    },
    extensions: 10,
  },
  Operation: {
    fields: {
      tags: [1, '[]string'],
      ...strings(['summary', 2], ['description', 3], ['operationId', 5]),
      produces: [6, '[]string'],
      consumes: [7, '[]string'],
      parameters: [8, '[]Parameter'],
      responses: [9, 'Responses'],
      schemes: [10, '[]string'],
      deprecated: [11, 'bool'],
    },
    extensions: 13,
  },
  BodyParameter: {
    fields: { ...strings(['description', 1], ['name', 2], ['in', 3]), required: [4, 'bool'], schema: [5, 'Schema'] },
    extensions: 6,
  },
  PathParameter: { fields: parameter(5), extensions: 22 },
  QueryParameter: { fields: { ...parameter(6), allowEmptyValue: [5, 'bool'] }, extensions: 23 },
  Responses: { fields: {}, extensions: 2, entries: [1, 'ResponseValue'] },
  Response: { fields: { ...strings(['description', 1]), schema: [2, 'SchemaItem'] }, extensions: 5 },
  Schema: {
    fields: {
      ...strings(['$ref', 1], ['format', 2], ['title', 3], ['description', 4], ['pattern', 13], ['discriminator', 26]),
      default: [5, 'yaml'],
      multipleOf: [6, 'double'],
      maximum: [7, 'double'],
      exclusiveMaximum: [8, 'bool'],
      minimum: [9, 'double'],
      exclusiveMinimum: [10, 'bool'],
      maxLength: [11, 'int'],
      minLength: [12, 'int'],
      maxItems: [14, 'int'],
      minItems: [15, 'int'],
      uniqueItems: [16, 'bool'],
      maxProperties: [17, 'int'],
      minProperties: [18, 'int'],
      required: [19, '[]string'],
      enum: [20, '[]yaml'],
      additionalProperties: [21, 'SchemaOrBoolean'],
      type: [22, 'OneOrMore.string'],
      items: [23, 'OneOrMore.Schema'],
      allOf: [24, '[]Schema'],
      properties: [25, '{}Schema'],
      readOnly: [27, 'bool'],
      example: [30, 'yaml'],
    },
    extensions: 31,
  },
};

/** Types that JSON does not name and protobuf does: what a value of one is wrapped in, outermost first. */
const WRAPPED: Readonly<Record<string, (value: Json) => readonly (number | string)[]>> = {
  // ParametersItem > Parameter > body, or > NonBodyParameter > query or path
  Parameter: ({ in: place }) =>
    place === 'body'
      ? [1, 1, 'BodyParameter']
      : place === 'query'
        ? [1, 2, 3, 'QueryParameter']
        : [1, 2, 4, 'PathParameter'],
  ResponseValue: () => [1, 'Response'],
  SchemaItem: () => [1, 'Schema'],
  SchemaOrBoolean: (value) => (typeof value === 'boolean' ? [2, 'bool'] : [1, 'Schema']),
  'OneOrMore.string': (value) => [1, Array.isArray(value) ? '[]string' : 'string'],
  'OneOrMore.Schema': (value) => [1, Array.isArray(value) ? '[]Schema' : 'Schema'],
};

/** The bytes of a `Document`. Throws on a key that the messages above do not know, so that nothing is left out in silence. */
export function encodeOpenapiV2(document: Json): Buffer {
  return messageBytes('Document', document);
}

function messageBytes(type: string, value: Json): Buffer {
  const { fields, extensions, entries } = MESSAGES[type]!;
  const parts: Buffer[] = [];
  for (const [key, content] of Object.entries(value)) {
    if (content === undefined) continue;
    const field = fields[key];
    if (field) parts.push(fieldBytes(field, content));
    else if (key.startsWith('x-') && extensions) parts.push(pair(extensions, 'yaml', key, content));
    else if (entries) parts.push(pair(entries[0], entries[1], key, content));
    else throw new Error(`the protobuf of OpenAPI v2 has no ${key} in ${type}`);
  }
  return Buffer.concat(parts);
}

function fieldBytes([number, type]: Field, value: unknown): Buffer {
  if (type.startsWith('[]')) {
    return Buffer.concat((value as unknown[]).map((each) => fieldBytes([number, type.slice(2)], each)));
  }
  if (type.startsWith('{}')) {
    const pairs = Object.entries(value as Json).map(([name, each]) => pair(1, type.slice(2), name, each));
    return delimited(number, Buffer.concat(pairs));
  }
  switch (type) {
    case 'bool':
      return Buffer.concat([varint(number << 3), varint(value ? 1 : 0)]);
    case 'int':
      return Buffer.concat([varint(number << 3), varint(value as number)]);
    case 'double': {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(value as number);
      return Buffer.concat([varint((number << 3) | 1), bytes]);
    }
    case 'string':
      return delimited(number, Buffer.from(value as string));
    case 'yaml':
      return delimited(number, fieldBytes([2, 'string'], `${JSON.stringify(value)}\n`));
  }
  const wrapped = WRAPPED[type];
  return delimited(number, wrapped ? unwrap(wrapped(value as Json), value) : messageBytes(type, value as Json));
}

function unwrap([first, ...rest]: readonly (number | string)[], value: unknown): Buffer {
  const number = first as number;
  if (typeof rest[0] === 'string') return fieldBytes([number, rest[0]], value);
  return delimited(number, unwrap(rest, value));
}

/** NamedSchema, NamedAny and their like. */
function pair(number: number, type: string, name: string, value: unknown): Buffer {
  return delimited(number, Buffer.concat([fieldBytes([1, 'string'], name), fieldBytes([2, type], value)]));
}

function delimited(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

/** Of numbers from 0 to 2^53. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return Buffer.from([...bytes, value]);
}
