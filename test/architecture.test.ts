// The rooms of src/ and the one direction in which they may import; FFI behind one door.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const SRC = join(import.meta.dirname, '..', 'src');

/** A room may import itself and whatever stands left of it. */
const ORDER = [
  'addr',
  'wire',
  'sys',
  'observe',
  'kernel',
  'objects',
  'client',
  'cache',
  'api',
  'controllers',
  'scheduler',
  'plan',
  'reconcile',
  'trace',
  'ipam',
  'cni',
  'runtime',
  'dns',
  'lb',
  'ingress',
  'mesh',
  'multicluster',
  'node',
  'cluster',
  'cli',
  'web',
];
/** Programs of their own: they run inside pods and import nothing of ours. */
const APART = ['agnhost'];
/** Pure rooms: of the kernel they know the shapes only. */
const KERNEL_TYPES_ONLY = ['plan', 'trace'];

interface Import {
  readonly file: string;
  readonly from: string;
  readonly target: string;
  readonly typeOnly: boolean;
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => join(SRC, file));

const room = (file: string): string => relative(SRC, file).split('/')[0]!;

const imports: Import[] = files.flatMap((file) => {
  const text = readFileSync(file, 'utf8');
  const statements = text.matchAll(/^(?:import|export)\s+(type\s+)?(?:[\w*{][^'"]*?from\s+)?['"]([^'"]+)['"]/gm);
  const lazy = text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g);
  return [
    ...[...statements].map(([, type, target]) => ({
      file,
      from: room(file),
      target: target!,
      typeOnly: type !== undefined,
    })),
    ...[...lazy].map(([, target]) => ({ file, from: room(file), target: target!, typeOnly: false })),
  ];
});

const isTest = (file: string) => file.endsWith('.test.ts') || file.endsWith('contract.ts');

test('every folder of src is a room of the order', () => {
  const rooms = readdirSync(SRC, { withFileTypes: true }).map((entry) => entry.name);
  assert.deepEqual(
    rooms.filter((name) => !ORDER.includes(name) && !APART.includes(name)),
    [],
  );
});

test('rooms import only from their left', () => {
  const wrong = imports
    .filter(({ target, file }) => target.startsWith('.') && !isTest(file))
    .filter(({ file, from, target }) => {
      const to = room(resolve(dirname(file), target));
      if (to === '..' || to === from) return false;
      return APART.includes(from) || APART.includes(to) || ORDER.indexOf(to) > ORDER.indexOf(from);
    });
  assert.deepEqual(
    wrong.map((each) => `${relative(SRC, each.file)} imports ${each.target}`),
    [],
  );
});

test('FFI is imported in sys alone', () => {
  const wrong = imports.filter(({ target, from }) => target === 'koffi' && from !== 'sys');
  assert.deepEqual(
    wrong.map((each) => relative(SRC, each.file)),
    [],
  );
});

test('plan and trace know only the types of kernel', () => {
  const wrong = imports
    .filter(({ from, file }) => KERNEL_TYPES_ONLY.includes(from) && !isTest(file))
    .filter(({ file, target }) => target.startsWith('.') && room(resolve(dirname(file), target)) === 'kernel')
    .filter(({ typeOnly }) => !typeOnly);
  assert.deepEqual(
    wrong.map((each) => `${relative(SRC, each.file)} imports ${each.target}`),
    [],
  );
});

test('wire does no I/O', () => {
  const io = /^node:(fs|net|dgram|http|https|http2|tls|child_process|worker_threads|dns)/;
  const wrong = imports.filter(({ from, file, target }) => from === 'wire' && !isTest(file) && io.test(target));
  assert.deepEqual(
    wrong.map((each) => `${relative(SRC, each.file)} imports ${each.target}`),
    [],
  );
});

test('every file begins with a comment that says which room it is in', () => {
  const wrong = files.filter((file) => !isTest(file) && !readFileSync(file, 'utf8').startsWith('// '));
  assert.deepEqual(
    wrong.map((file) => relative(SRC, file)),
    [],
  );
});

test('packages that are loaded lazily are ES modules: in a bundle, import() of another kind finds no names', () => {
  const lazy = files.flatMap((file) => {
    const text = readFileSync(file, 'utf8');
    const found = text.matchAll(/await import\(\s*'((?:@[\w-]+\/)?[\w-]+)[^']*'/g);
    return [...found].map((match) => match[1]!).filter((name) => name !== 'node');
  });
  for (const name of new Set(lazy)) {
    const manifest = join(SRC, '..', 'node_modules', name, 'package.json');
    assert.equal((JSON.parse(readFileSync(manifest, 'utf8')) as { type?: string }).type, 'module', name);
  }
});
