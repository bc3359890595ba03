// Room objects: JSON Merge Patch by the examples of RFC 7386, and JSON Patch by what an independent maker of patches makes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createPatch } from 'rfc6902';
import { jsonPatch } from './json.ts';
import { mergePatch } from './merge.ts';

/** The appendix of RFC 7386, as far as target and patch are objects. */
const examples: [target: unknown, patch: unknown, result: unknown][] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];
for (const [target, patch, result] of examples) {
  test(`merging ${JSON.stringify(patch)} into ${JSON.stringify(target)} gives ${JSON.stringify(result)}`, () => {
    assert.deepEqual(mergePatch(target, patch), result);
  });
}

test('a merge patch that is no object is refused', () => {
  for (const patch of [[], 'x', null, 1]) assert.throws(() => mergePatch({}, patch), { code: 400 });
});

test('a key named __proto__ is a key', () => {
  const patched = mergePatch({}, JSON.parse('{"__proto__": {"polluted": true}}'));
  assert.equal(JSON.stringify(patched), '{"__proto__":{"polluted":true}}');
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

const key = fc.constantFrom('a', 'b', 'c');
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(1, 2, 'x', true),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('object'),
  ),
  object: fc.dictionary(key, tie('value'), { maxKeys: 3, noNullPrototype: true }),
}));
const object = fc.dictionary(key, value, { noNullPrototype: true });

test('a merge patch applied twice is a merge patch applied once, and never changes what it is applied to', () => {
  fc.assert(
    fc.property(object, object, (target, patch) => {
      const before = structuredClone(target);
      const once = mergePatch(target, patch);
      assert.deepEqual(mergePatch(once, patch), once);
      assert.deepEqual(target, before);
    }),
  );
});

test('the JSON Patch from one object to another leads there', () => {
  fc.assert(
    fc.property(object, object, (from, to) => {
      const before = structuredClone(from);
      assert.deepEqual(jsonPatch(from, createPatch(from, to)), to);
      assert.deepEqual(from, before);
    }),
  );
});

const badPatches: [name: string, patch: unknown, code: number][] = [
  ['no list', {}, 400],
  ['an unknown operation', [{ op: 'frobnicate', path: '/a' }], 400],
  ['no path', [{ op: 'remove' }], 400],
  ['no value', [{ op: 'add', path: '/a' }], 400],
  ['no source', [{ op: 'move', path: '/a' }], 400],
  ['a path that is not there', [{ op: 'remove', path: '/x/y' }], 422],
  ['a test that fails', [{ op: 'test', path: '/a', value: 2 }], 422],
];
for (const [name, patch, code] of badPatches) {
  test(`a JSON Patch with ${name} is refused with ${code}`, () => {
    assert.throws(() => jsonPatch({ a: 1 }, patch), { name: 'StatusError', code });
  });
}
