// Room wire: the kernel's own description of its types (BTF, linux/btf.h), as far as programs of ours need numbers from it.

const MAGIC = 0xeb9f;
const KIND = { struct: 4, function: 12 } as const;
/** btf_type: name, info, size or type. */
const TYPE_WORDS = 3;
/** Words after a btf_type by its kind: once, and for each of its members. */
const EXTRA: Readonly<Record<number, readonly [once: number, each: number]>> = {
  1: [1, 0],
  3: [3, 0],
  4: [0, 3],
  5: [0, 3],
  6: [0, 2],
  13: [0, 2],
  14: [1, 0],
  15: [0, 3],
  17: [1, 0],
  19: [0, 3],
};

const ONCE = Uint8Array.from({ length: 32 }, (_, kind) => EXTRA[kind]?.[0] ?? 0);
const EACH = Uint8Array.from({ length: 32 }, (_, kind) => EXTRA[kind]?.[1] ?? 0);

export interface BtfWants {
  readonly functions: readonly string[];
  readonly structs?: readonly string[];
  /** Fields as `struct.field`. */
  readonly fields: readonly string[];
}

/** Numbers of the functions and structs that are there, and the offset in bytes of the fields that are. Throws a RangeError for what is no BTF. */
export function findInBtf(btf: Uint8Array, { functions, structs = [], fields }: BtfWants): Map<string, number> {
  const view = new DataView(btf.buffer, btf.byteOffset, btf.length);
  if (btf.length < 24 || view.getUint16(0, true) !== MAGIC)
    throw new RangeError('not BTF in the order of this machine');
  const part = (at: number) => {
    const start = view.getUint32(4, true) + view.getUint32(at, true);
    return btf.subarray(start, start + view.getUint32(at + 4, true));
  };
  const { buffer, byteOffset, length } = part(16);
  const strings = Buffer.from(buffer, byteOffset, length);
  const words = wordsOf(part(8));
  const owners = new Set(fields.map((field) => field.split('.')[0]!));
  const names = new Map([...functions, ...structs, ...owners].map((name) => [offsetOf(strings, name), name]));
  const found = new Map<string, number>();
  // More than a hundred thousand types, at the start of a cluster: only the kinds that are asked for are looked up.
  for (let at = 0, number = 1; at < words.length; number++) {
    const info = words[at + 1]!;
    const kind = (info >>> 24) & 0x1f;
    const count = info & 0xffff;
    const name = kind === KIND.function || kind === KIND.struct ? names.get(words[at]!) : undefined;
    if (name !== undefined && kind === KIND.function) found.set(name, number);
    if (name !== undefined && kind === KIND.struct && structs.includes(name)) found.set(name, number);
    if (name !== undefined && kind === KIND.struct && owners.has(name)) {
      for (const [field, offset] of membersOf(words.subarray(at + TYPE_WORDS, at + TYPE_WORDS + count * 3), strings)) {
        if (fields.includes(`${name}.${field}`)) found.set(`${name}.${field}`, offset);
      }
    }
    at += TYPE_WORDS + ONCE[kind]! + EACH[kind]! * count;
  }
  return found;
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Uint32Array(buffer, byteOffset, length >> 2);
}

/** A name has one place among the strings; -1 when no type has it. */
function offsetOf(strings: Buffer, name: string): number {
  const at = strings.indexOf(`\0${name}\0`, 0, 'latin1');
  return at < 0 ? -1 : at + 1;
}

function* membersOf(words: Uint32Array, strings: Buffer): Generator<[string, number]> {
  for (let at = 0; at < words.length; at += 3) {
    const start = words[at]!;
    // The upper byte is the width of a bit field, which none of those that are asked for is.
    yield [strings.toString('latin1', start, strings.indexOf(0, start)), (words[at + 2]! & 0xffffff) >> 3];
  }
}
