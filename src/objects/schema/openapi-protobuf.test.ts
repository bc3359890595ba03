// Test objects: OpenAPI v2 as protobuf, read back by field number; kubectl's own reading of it is tested with the API server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeOpenapiV2 } from './openapi-protobuf.ts';

/** All values under a path of field numbers: numbers as such, the rest as text. */
function valuesAt(bytes: Buffer, [number, ...rest]: readonly number[]): (string | number)[] {
  const values: (string | number)[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const wire = key & 7;
    const length = wire === 0 ? 0 : wire === 1 ? 8 : varint();
    const value = wire === 0 ? varint() : bytes.subarray(at, at + length);
    at += length;
    if (key >> 3 !== number) continue;
    if (typeof value === 'number') values.push(value);
    else if (rest.length > 0) values.push(...valuesAt(value, rest));
    else values.push(wire === 1 ? value.readDoubleLE() : value.toString());
  }
  return values;
}

const DOCUMENT = {
  swagger: '2.0',
  info: { title: 'Kubernetes', version: 'v1' },
  paths: {
    '/api/v1/pods': {
      patch: {
        operationId: 'patchPods',
        'x-kubernetes-action': 'patch',
        parameters: [
          { name: 'limit', in: 'query', type: 'integer', uniqueItems: true },
          { name: 'name', in: 'path', required: true, type: 'string' },
          { name: 'body', in: 'body', required: false, schema: { $ref: '#/definitions/Pod' } },
        ],
        responses: { 200: { description: 'OK', schema: { type: 'string' } } },
      },
    },
  },
  definitions: {
    Pod: {
      description: 'ein Pod: größer als 127 Bytes '.repeat(20),
      type: 'object',
      required: ['metadata', 'spec'],
      properties: { ports: { type: 'array', items: { format: 'int32' } } },
      additionalProperties: true,
      maximum: 1.5,
      maxLength: 300,
      default: { a: [1] },
      'x-kubernetes-map-type': 'atomic',
    },
  },
};

test('every part of a document stands under the numbers that gnostic gave it', () => {
  const bytes = encodeOpenapiV2(DOCUMENT);
  const read = (...path: number[]) => valuesAt(bytes, path);
  assert.deepEqual([read(1), read(2, 1), read(2, 2)], [['2.0'], ['Kubernetes'], ['v1']]);
  const operation = [8, 2, 2, 8];
  assert.deepEqual(read(8, 2, 1), ['/api/v1/pods']);
  assert.deepEqual(read(...operation, 5), ['patchPods']);
  assert.deepEqual(read(...operation, 13, 1), ['x-kubernetes-action']);
  assert.deepEqual(read(...operation, 13, 2, 2), ['"patch"\n'], 'extensions are YAML');
  const query = [...operation, 8, 1, 2, 3];
  assert.deepEqual([read(...query, 4), read(...query, 6), read(...query, 20)], [['limit'], ['integer'], [1]]);
  const inPath = [...operation, 8, 1, 2, 4];
  assert.deepEqual([read(...inPath, 4), read(...inPath, 5), read(...inPath, 1)], [['name'], ['string'], [1]]);
  assert.deepEqual(read(...operation, 8, 1, 1, 5, 1), ['#/definitions/Pod']);
  assert.deepEqual([read(...operation, 9, 1, 1), read(...operation, 9, 1, 2, 1, 1)], [['200'], ['OK']]);
  const schema = [9, 1, 2];
  const { Pod } = DOCUMENT.definitions;
  assert.deepEqual([read(9, 1, 1), read(...schema, 4)], [['Pod'], [Pod.description]]);
  assert.deepEqual([read(...schema, 22, 1), read(...schema, 19)], [['object'], ['metadata', 'spec']]);
  assert.deepEqual(read(...schema, 25, 1, 1), ['ports']);
  assert.deepEqual(read(...schema, 25, 1, 2, 23, 1, 2), ['int32']);
  assert.deepEqual([read(...schema, 21, 2), read(...schema, 7), read(...schema, 11)], [[1], [1.5], [300]]);
  assert.deepEqual(read(...schema, 5, 2), ['{"a":[1]}\n']);
  assert.deepEqual(read(...schema, 31, 2, 2), ['"atomic"\n']);
});

test('a key that gnostic has no field for is an error, not a loss', () => {
  assert.throws(() => encodeOpenapiV2({ swagger: '2.0', components: {} }), /no components in Document/);
});
