// Room objects: strategic merge patches: the directives one by one, then whole patches by property.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kindRow } from '../kinds.ts';
import { strategicMergePatch } from './strategic.ts';

const DEPLOYMENT = kindRow('Deployment');

function patchPod(current: unknown, patch: unknown): unknown {
  return strategicMergePatch(kindRow('Pod'), current, patch);
}

const cases: [name: string, current: unknown, patch: unknown, expected: unknown][] = [
  [
    'a list with a merge key is merged element by element, new elements last',
    { spec: { containers: [{ name: 'a', image: 'x:1', tty: true }] } },
    {
      spec: {
        containers: [
          { name: 'a', image: 'x:2' },
          { name: 'b', image: 'y' },
        ],
      },
    },
    {
      spec: {
        containers: [
          { name: 'a', image: 'x:2', tty: true },
          { name: 'b', image: 'y' },
        ],
      },
    },
  ],
  [
    'an element is deleted by its key',
    { spec: { containers: [{ name: 'a' }, { name: 'b' }] } },
    { spec: { containers: [{ name: 'a', $patch: 'delete' }] } },
    { spec: { containers: [{ name: 'b' }] } },
  ],
  [
    'a list is replaced when an element says so',
    { spec: { containers: [{ name: 'a' }, { name: 'b' }] } },
    { spec: { containers: [{ $patch: 'replace' }, { name: 'c' }] } },
    { spec: { containers: [{ name: 'c' }] } },
  ],
  [
    'one element is replaced',
    { spec: { containers: [{ name: 'a', image: 'x', tty: true }] } },
    { spec: { containers: [{ name: 'a', image: 'y', $patch: 'replace' }] } },
    { spec: { containers: [{ name: 'a', image: 'y' }] } },
  ],
  [
    'a list without a merge key is replaced',
    { spec: { tolerations: [{ key: 'a' }], containers: [{ name: 'a', args: ['1', '2'] }] } },
    { spec: { tolerations: [{ key: 'b' }], containers: [{ name: 'a', args: ['3'] }] } },
    { spec: { tolerations: [{ key: 'b' }], containers: [{ name: 'a', args: ['3'] }] } },
  ],
  [
    'a list of plain values is a set that grows and shrinks',
    { metadata: { finalizers: ['a', 'b'] } },
    { metadata: { finalizers: ['c', 'a'], '$deleteFromPrimitiveList/finalizers': ['b'] } },
    { metadata: { finalizers: ['a', 'c'] } },
  ],
  [
    'null deletes a field, a label, and a whole list',
    { metadata: { labels: { a: '1', b: '2' } }, spec: { nodeName: 'n', containers: [{ name: 'a' }] } },
    { metadata: { labels: { a: null } }, spec: { nodeName: null, containers: null } },
    { metadata: { labels: { b: '2' } }, spec: {} },
  ],
  [
    'a map is replaced, or deleted, by its directive',
    { metadata: { labels: { a: '1' }, annotations: { b: '2' } } },
    { metadata: { labels: { c: '3', $patch: 'replace' }, annotations: { $patch: 'delete' } } },
    { metadata: { labels: { c: '3' } } },
  ],
  [
    '$setElementOrder orders; what only the server knows keeps its place before its successor',
    { spec: { containers: [{ name: 'server' }, { name: 'a' }, { name: 'b' }] } },
    {
      spec: {
        '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }, { name: 'new' }],
        containers: [{ name: 'new' }],
      },
    },
    { spec: { containers: [{ name: 'server' }, { name: 'b' }, { name: 'a' }, { name: 'new' }] } },
  ],
  [
    'a new element that the order names goes before what only the server knows',
    { spec: { volumes: [{ name: 'server' }] } },
    { spec: { '$setElementOrder/volumes': [{ name: 'mine' }], volumes: [{ name: 'mine', emptyDir: {} }] } },
    { spec: { volumes: [{ name: 'mine', emptyDir: {} }, { name: 'server' }] } },
  ],
  [
    '$retainKeys drops the other members of a union',
    { spec: { volumes: [{ name: 'v', emptyDir: {} }] } },
    { spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'configMap'], configMap: { name: 'c' } }] } },
    { spec: { volumes: [{ name: 'v', configMap: { name: 'c' } }] } },
  ],
  [
    'ports of a container merge by their number',
    { spec: { containers: [{ name: 'a', ports: [{ containerPort: 80, name: 'http' }] }] } },
    { spec: { containers: [{ name: 'a', ports: [{ containerPort: 80, protocol: 'TCP' }, { containerPort: 81 }] }] } },
    {
      spec: {
        containers: [
          { name: 'a', ports: [{ containerPort: 80, name: 'http', protocol: 'TCP' }, { containerPort: 81 }] },
        ],
      },
    },
  ],
];

for (const [name, current, patch, expected] of cases) {
  test(name, () => {
    const before = structuredClone(current);
    assert.deepEqual(patchPod(current, patch), expected);
    assert.deepEqual(current, before, 'the current object was changed');
    assert.deepEqual(patchPod(patchPod(current, patch), patch), expected, 'applied twice');
  });
}

const refused: [name: string, patch: unknown, message: RegExp][] = [
  ['a list', [], /is a JSON object/],
  [
    'an element without its merge key',
    { spec: { containers: [{ image: 'x' }] } },
    /does not contain declared merge key: name/,
  ],
  ['an unknown directive', { spec: { $patch: 'remove' } }, /unknown patch type: remove/],
  [
    '$retainKeys that leaves out what is set',
    { spec: { $retainKeys: ['a'], nodeName: 'n' } },
    /does not name nodeName/,
  ],
  ['an order that is no list', { spec: { '$setElementOrder/containers': 'a' } }, /is not a list/],
];
for (const [name, patch, message] of refused) {
  test(`a patch that is, or has, ${name} is refused with 400`, () => {
    assert.throws(() => patchPod({ spec: {} }, patch), { code: 400, message });
  });
}

type Container = { name: string; [field: string]: unknown };

const container = fc.record(
  { name: fc.constantFrom('a', 'b', 'c', 'd', 'e'), image: fc.constantFrom('x:1', 'x:2', 'y'), tty: fc.boolean() },
  { requiredKeys: ['name'], noNullPrototype: true },
);
const containers = fc.uniqueArray(container, { selector: ({ name }) => name, maxLength: 5 });

/** The patch that a client makes which knows both objects: changed fields, null for gone ones, deletions, and the order. */
function difference(from: readonly Container[], to: readonly Container[]): unknown {
  const changed = to.map((wanted) => {
    const had = from.find(({ name }) => name === wanted.name) ?? { name: wanted.name };
    const gone = Object.keys(had).filter((key) => !(key in wanted));
    return { ...wanted, ...Object.fromEntries(gone.map((key) => [key, null])) };
  });
  const deleted = from
    .filter(({ name }) => !to.some((wanted) => wanted.name === name))
    .map(({ name }) => ({ name, $patch: 'delete' }));
  const order = to.map(({ name }) => ({ name }));
  return {
    spec: { template: { spec: { '$setElementOrder/containers': order, containers: [...deleted, ...changed] } } },
  };
}

test('the difference of two lists of containers, applied to one, gives the other', () => {
  const wrap = (list: readonly Container[]) => ({ spec: { template: { spec: { containers: [...list] } } } });
  fc.assert(
    fc.property(containers, containers, (from, to) => {
      assert.deepEqual(strategicMergePatch(DEPLOYMENT, wrap(from), difference(from, to)), wrap(to));
    }),
  );
});

test('elements that only the server knows survive every patch of a client, in their own order', () => {
  const server = [{ name: 's1' }, { name: 's2' }];
  fc.assert(
    fc.property(containers, containers, fc.nat(5), (from, to, at) => {
      const current = [...from.slice(0, at), server[0]!, ...from.slice(at), server[1]!];
      const patch = difference(from, to);
      const result = strategicMergePatch(DEPLOYMENT, { spec: { template: { spec: { containers: current } } } }, patch);
      const names = result.spec.template.spec.containers.map(({ name }) => name);
      assert.deepEqual(
        names.filter((name) => name.startsWith('s')),
        ['s1', 's2'],
      );
      assert.deepEqual(
        names.filter((name) => !name.startsWith('s')),
        to.map(({ name }) => name),
      );
    }),
  );
});
