// Room objects: whatever a client sends that the schema lets through, down to objects without the fields they need, is answered, not tripped over.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decode } from '../decode.ts';
import { applyDefaults } from '../defaults/defaults.ts';
import { KINDS, type KindRow } from '../kinds.ts';
import { strategicMergePatch } from '../patch/strategic.ts';
import { type FieldType, modelOf, type Scalar } from '../schema/models.ts';
import { tableFor } from '../table/table.ts';
import type { KubeObject } from '../types.ts';
import { invalid, validate } from './validate.ts';

const text = fc.constantFrom(
  '',
  'a',
  'A b',
  'None',
  'RollingUpdate',
  'ClusterIP',
  '10.0.0.1',
  '::1',
  '10.0.0.0/8',
  '../x',
  '5%',
);
const SCALARS: Readonly<Record<Scalar, fc.Arbitrary<unknown>>> = {
  string: text,
  boolean: fc.boolean(),
  int32: fc.constantFrom(-1, 0, 1, 80, 70_000),
  int64: fc.constantFrom(-1, 0, 1, 30),
  double: fc.constantFrom(0.5, 1),
  time: fc.constant('2026-01-02T03:04:05Z'),
  microtime: fc.constant('2026-01-02T03:04:05.000006Z'),
  bytes: fc.constantFrom('', 'eA=='),
  quantity: fc.constantFrom('0', '-1', '1500m', '1Gi'),
  intOrString: fc.constantFrom(0, 80, 70_000, 'http', '50%', ''),
  any: fc.constant({}),
};

/** Any value of the type, with any field left out. */
function anyOfType(type: FieldType, depth: number): fc.Arbitrary<unknown> {
  switch (type.is) {
    case 'list':
      return fc.array(anyOfType(type.of, depth), { maxLength: 2 });
    case 'map':
      return fc.dictionary(fc.constantFrom('a', 'cpu', 'b/c/d', ''), anyOfType(type.of, depth), {
        maxKeys: 2,
        noNullPrototype: true,
      });
    case 'object':
      return objectOf(type.model, depth);
    default:
      return SCALARS[type.is];
  }
}

const known = new Map<string, fc.Arbitrary<Record<string, unknown>>>();

function objectOf(model: string, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const key = `${model} ${depth}`;
  const made = known.get(key);
  if (made) return made;
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  for (const [name, field] of modelOf(model).fields) {
    if (name === 'apiVersion' || name === 'kind') continue;
    if (depth > 0 || (field.type.is !== 'object' && field.type.is !== 'list'))
      fields[name] = anyOfType(field.type, depth - 1);
  }
  const names = Object.keys(fields);
  // A few fields at a time: objects with all of them are large and alike.
  const arbitrary = fc
    .subarray(names, { maxLength: Math.min(names.length, 5) })
    .chain((chosen) =>
      fc.record(Object.fromEntries(chosen.map((name) => [name, fields[name]!])), { noNullPrototype: true }),
    );
  known.set(key, arbitrary);
  return arbitrary;
}

/** A whole object whose spec is often there. */
function objectOfKind(kind: KindRow): fc.Arbitrary<Record<string, unknown>> {
  const spec = modelOf(kind.model).fields.get('spec');
  const base = objectOf(kind.model, 6);
  if (spec?.type.is !== 'object') return base;
  return fc.tuple(base, objectOf(spec.type.model, 6)).map(([object, inner]) => ({ ...object, spec: inner }));
}

for (const kind of KINDS) {
  test(`every ${kind.kind} of the right types is defaulted, validated or refused, and can be printed`, () => {
    fc.assert(
      fc.property(objectOfKind(kind), objectOfKind(kind), (body, other) => {
        const { object, warnings } = decode(kind, structuredClone(body), 'Warn');
        assert.deepEqual(warnings, []);
        applyDefaults(kind, object);
        const once = structuredClone(object);
        applyDefaults(kind, object);
        assert.deepEqual(object, once, 'defaults applied twice differ from once');
        const old = decode(kind, structuredClone(other), 'Warn').object;
        applyDefaults(kind, old);
        const causes = [...validate(kind, object), ...validate(kind, object, old as KubeObject)];
        for (const { field, message } of causes) assert.ok(field !== undefined && message, JSON.stringify(causes));
        assert.equal(invalid(kind, 'a', causes).code, 422);
        if (!causes.every(({ field }) => field!.startsWith('metadata'))) return;
        const { rows, columnDefinitions } = tableFor(kind, [object as KubeObject]);
        assert.equal(rows[0]!.cells.length, columnDefinitions.length);
      }),
      { numRuns: 60 },
    );
  });

  test(`a patch that sets one whole ${kind.kind} over another leaves what the patch says`, () => {
    fc.assert(
      fc.property(objectOfKind(kind), (body) => {
        const { object } = decode(kind, structuredClone(body), 'Warn');
        const { status: _, ...patch } = object;
        const before = { apiVersion: object.apiVersion, kind: object.kind, metadata: {} };
        try {
          const patched = strategicMergePatch(kind, before, patch);
          assert.deepEqual(decode(kind, structuredClone(patched), 'Strict').object, patched);
        } catch (error) {
          // Elements without the key by which they merge cannot be patched in.
          assert.match(String(error), /does not contain declared merge key/);
        }
      }),
      { numRuns: 40 },
    );
  });
}
