// The kernel's own BTF as bpftool would read it, and what is no BTF.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findInBtf } from './btf.ts';

/** int (1), struct pair { int first; int second } (2), func_proto (3), func add (4): as linux/btf.h lays them out. */
function sample(): Uint8Array {
  const strings = Buffer.from('\0int\0pair\0first\0second\0add\0', 'latin1');
  const at = (name: string) => strings.indexOf(`\0${name}\0`) + 1;
  const types = Uint32Array.of(
    ...[at('int'), 1 << 24, 4, 32],
    ...[at('pair'), (4 << 24) | 2, 8, at('first'), 1, 0, at('second'), 1, 32],
    ...[0, 13 << 24, 1],
    ...[at('add'), 12 << 24, 3],
  );
  const header = new DataView(new ArrayBuffer(24));
  header.setUint16(0, 0xeb9f, true);
  header.setUint8(2, 1);
  for (const [i, word] of [24, 0, types.byteLength, types.byteLength, strings.length].entries()) {
    header.setUint32(4 + 4 * i, word, true);
  }
  return Buffer.concat([Buffer.from(header.buffer), Buffer.from(types.buffer), strings]);
}

test('functions and structs have their number, fields their offset, and what is not there is left out', () => {
  const found = findInBtf(sample(), {
    functions: ['add', 'pair', 'int', 'subtract'],
    fields: ['pair.second', 'pair.x'],
  });
  const expected: [string, number][] = [
    ['pair.second', 4],
    ['add', 4],
  ];
  assert.deepEqual([...found], expected);
  assert.deepEqual([...findInBtf(sample(), { functions: [], structs: ['pair', 'int'], fields: [] })], [['pair', 2]]);
});

test('what is no BTF is refused', () => {
  assert.throws(() => findInBtf(new Uint8Array(64), { functions: [], fields: [] }), RangeError);
  assert.throws(() => findInBtf(new Uint8Array(3), { functions: [], fields: [] }), RangeError);
});
