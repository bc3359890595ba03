// Records in one file: whole or not at all wherever the writer was killed, and the same for all who look.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Changes, RecordFile } from './record-file.ts';

function inDir(work: (path: string) => void): void {
  const dir = mkdtempSync(`${tmpdir()}/pwt-records-`);
  try {
    work(`${dir}/below/records.jsonl`);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const open = (path: string, boot = 'boot-1') => new RecordFile<number>(path, boot);
const put = (file: RecordFile<number>, changes: Changes<number>) => file.locked((_, write) => write(changes));
const seen = (path: string) => Object.fromEntries(open(path).read());

test('what one writes another reads, each only what is new', () =>
  inDir((path) => {
    const [one, other] = [open(path), open(path)];
    assert.deepEqual([...one.read()], []);
    put(one, { a: 1, b: 2 });
    assert.deepEqual(Object.fromEntries(other.read()), { a: 1, b: 2 });
    put(other, { a: null, c: 3 });
    put(one, { d: 4 });
    assert.deepEqual(Object.fromEntries(one.read()), { b: 2, c: 3, d: 4 });
    assert.deepEqual(Object.fromEntries(other.read()), { b: 2, c: 3, d: 4 });
    assert.deepEqual(seen(path), { b: 2, c: 3, d: 4 });
  }));

test('records of another boot, and files of somebody else, are as if they were not there', () =>
  inDir((path) => {
    put(open(path), { a: 1 });
    assert.deepEqual([...open(path, 'boot-2').read()], []);
    put(open(path, 'boot-2'), { b: 2 });
    assert.deepEqual([...open(path, 'boot-2').read()], [['b', 2]]);
    assert.deepEqual([...open(path).read()], []);
    for (const text of ['', '\n', 'something else\n{"a":1}\n', '{"podwire":2}\n']) {
      writeFileSync(path, text);
      assert.deepEqual(seen(path), {}, text);
      put(open(path), { c: 3 });
      assert.deepEqual(seen(path), { c: 3 }, text);
    }
  }));

test('a file that is taken away, cut or put in another’s place is read again', () =>
  inDir((path) => {
    const file = open(path);
    put(file, { a: 1 });
    const before = readFileSync(path);
    put(file, { b: 2 });
    truncateSync(path, before.length);
    assert.deepEqual(Object.fromEntries(file.read()), { a: 1 });
    rmSync(path);
    assert.deepEqual([...file.read()], []);
    put(file, { c: 3 });
    assert.deepEqual(seen(path), { c: 3 });
  }));

test('whoever was killed while writing leaves what was there before, or all of it', () => {
  const change = fc.dictionary(fc.constantFrom('a', 'b', 'ä', '10.0.0.1'), fc.option(fc.nat(1e6), { nil: null }), {
    minKeys: 1,
  });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), fc.nat(), (steps, at) =>
      inDir((path) => {
        const file = open(path);
        const states: Record<string, number>[] = [{}];
        for (const step of steps) {
          put(file, step);
          states.push(Object.fromEntries(file.read()));
        }
        const whole = readFileSync(path);
        const cut = at % (whole.length + 1);
        truncateSync(path, cut);
        const lines = whole.subarray(0, cut).toString('latin1').split('\n').length - 1;
        // The first line is the header's.
        const expected = states[Math.max(0, lines - 1)]!;
        assert.deepEqual(seen(path), expected);
        put(file, { after: 1 });
        assert.deepEqual(seen(path), { ...expected, after: 1 });
        assert.deepEqual(Object.fromEntries(file.read()), { ...expected, after: 1 });
      }),
    ),
    { numRuns: 100 },
  );
});

test('a line that is no JSON is passed over', () =>
  inDir((path) => {
    put(open(path), { a: 1 });
    appendFileSync(path, 'rubbish\n');
    put(open(path), { b: 2 });
    assert.deepEqual(seen(path), { a: 1, b: 2 });
  }));

test('the file does not grow for ever, and what is worn is left out when it is written anew', () =>
  inDir((path) => {
    const file = open(path);
    const onlooker = open(path);
    put(file, { 'for-ever': 1 });
    let longest = 0;
    for (let i = 0; i < 20_000; i++) {
      file.locked(
        (_, write) => write({ [`c${i % 7}`]: i, [`old${i}`]: -1 }),
        (value) => value < 0,
      );
      longest = Math.max(longest, statSync(path).size);
      if (i % 500 === 0) assert.equal(onlooker.read().get(`c${i % 7}`), i);
    }
    assert.ok(longest < 70_000, `${longest}`);
    assert.equal(file.read().get('for-ever'), 1);
    assert.deepEqual(Object.fromEntries(onlooker.read()), Object.fromEntries(file.read()));
    assert.deepEqual(seen(path), Object.fromEntries(file.read()));
    assert.ok(file.read().size < 4000);
  }));
