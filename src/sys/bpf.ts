// Room sys: bpf(2): maps and programs.
import { arch } from 'node:process';
import { koffi, lastErrno, libc, SysError } from './ffi.ts';

const SYS_BPF: number = { x64: 321, arm64: 280 }[arch as string] ?? 280;
const COMMAND = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  progLoad: 5,
  progAttach: 8,
  progQuery: 16,
  mapUpdateBatch: 26,
} as const;
const MAP_TYPE = { hash: 1, array: 2, cpuArray: 6, recent: 9, prefixes: 11 } as const;
/** Maps that take memory with each entry. */
const GROWING: ReadonlySet<string> = new Set(['hash', 'prefixes']);
const NO_PREALLOC = 1;
export const SCHED_CLS = 3;
export const CGROUP_SOCK_ADDR = 18;
/** Ours is the only one: nobody else is attached beside it. */
const MOST_PROGRAMS = 16;
const LOG_BYTES = 1 << 16;

type Attributes = ReturnType<typeof koffi.struct>;

/** bpf(2) with its `union bpf_attr` as one command sees it; `inout`: the kernel's answer is put into it. */
export function bpfCommand(fields: Parameters<typeof koffi.struct>[0], way: 'in' | 'inout' = 'in') {
  const attributes: Attributes = koffi.struct(fields);
  const pointer = koffi.pointer(attributes);
  const argument = way === 'inout' ? koffi.inout(pointer) : pointer;
  const call = libc.func('syscall', 'long', ['long', 'int', argument, 'uint32_t']);
  const size = koffi.sizeof(attributes);
  return (number: number, value: object) => Number(call(SYS_BPF, number, value, size));
}

/** `union bpf_attr` as each command sees it. */
const ATTRIBUTES = {
  map: {
    map_type: 'uint32_t',
    key_size: 'uint32_t',
    value_size: 'uint32_t',
    max_entries: 'uint32_t',
    map_flags: 'uint32_t',
  },
  element: {
    map_fd: 'uint32_t',
    pad: 'uint32_t',
    key: 'const uint8_t *',
    value: 'const uint8_t *',
    flags: 'uint64_t',
  },
  batch: {
    in_batch: 'uint64_t',
    out_batch: 'uint64_t',
    keys: 'const uint8_t *',
    values: 'const uint8_t *',
    count: 'uint32_t',
    map_fd: 'uint32_t',
    elem_flags: 'uint64_t',
    flags: 'uint64_t',
  },
  program: {
    prog_type: 'uint32_t',
    insn_cnt: 'uint32_t',
    insns: 'const uint8_t *',
    license: 'const char *',
    log_level: 'uint32_t',
    log_size: 'uint32_t',
    log_buf: 'uint8_t *',
    kern_version: 'uint32_t',
    prog_flags: 'uint32_t',
    prog_name: koffi.array('uint8_t', 16),
    prog_ifindex: 'uint32_t',
    expected_attach_type: 'uint32_t',
  },
  attach: {
    target_fd: 'uint32_t',
    attach_bpf_fd: 'uint32_t',
    attach_type: 'uint32_t',
    attach_flags: 'uint32_t',
  },
  query: {
    target_fd: 'uint32_t',
    attach_type: 'uint32_t',
    query_flags: 'uint32_t',
    attach_flags: 'uint32_t',
    prog_ids: 'uint8_t *',
    prog_cnt: 'uint32_t',
    pad: 'uint32_t',
    prog_attach_flags: 'uint8_t *',
  },
} satisfies Record<string, Parameters<typeof koffi.struct>[0]>;

type Command = keyof typeof ATTRIBUTES;
const defined: Partial<Record<Command, ReturnType<typeof bpfCommand>>> = {};

/** Each is defined when first used: most nodes never use most. */
function bpf(command: Command, number: number, attributes: object): number {
  defined[command] ??= bpfCommand(ATTRIBUTES[command]);
  return defined[command](number, attributes);
}

function done(result: number, operation: string, detail?: string): number {
  if (result === -1) throw new SysError(operation, lastErrno(), detail);
  return result;
}

export interface MapShape {
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
}

/**
 * In `prefixes` the longest one wins; `recent` forgets what was not asked for longest when it is full; of an `array` the keys are
 * indexes, of a `cpuArray` too, and each CPU has its own. Hashes and prefixes take their memory with each entry, the others at once. The fd is
 * the caller's.
 */
export function createMap(type: keyof typeof MAP_TYPE, { keySize, valueSize, maxEntries }: MapShape): number {
  const attributes = {
    map_type: MAP_TYPE[type],
    key_size: keySize,
    value_size: valueSize,
    max_entries: maxEntries,
    map_flags: GROWING.has(type) ? NO_PREALLOC : 0,
  };
  return done(bpf('map', COMMAND.mapCreate, attributes), 'bpf map create');
}

export function updateElement(map: number, key: Uint8Array, value: Uint8Array): void {
  done(bpf('element', COMMAND.mapUpdate, { map_fd: map, pad: 0, key, value, flags: 0 }), 'bpf map update');
}

export interface MapEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Until a kernel before 5.6 says that it knows no batches. */
let hasBatches = true;

/** One after the other, of a shape, in one call where the kernel can: a tenth of the time. */
export function updateElements(map: number, entries: readonly MapEntry[]): void {
  const [first, second] = entries;
  if (!first) return;
  if (second && hasBatches) {
    const batch = { in_batch: 0, out_batch: 0, count: entries.length, map_fd: map, elem_flags: 0, flags: 0 };
    const [keys, values] = [joined(entries.map(({ key }) => key)), joined(entries.map(({ value }) => value))];
    const result = bpf('batch', COMMAND.mapUpdateBatch, { ...batch, keys, values });
    hasBatches = result !== -1 || !WITHOUT_BATCHES.has(lastErrno());
    if (hasBatches) {
      done(result, 'bpf map update');
      return;
    }
  }
  for (const { key, value } of entries) updateElement(map, key, value);
}

/** EINVAL, and what the kernel calls ENOTSUPP. */
const WITHOUT_BATCHES: ReadonlySet<number> = new Set([22, 524]);

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.length * parts[0]!.length);
  for (const [i, part] of parts.entries()) all.set(part, i * part.length);
  return all;
}

/** Whether the map has this key. */
export function hasElement(map: number, key: Uint8Array, valueSize: number): boolean {
  const value = new Uint8Array(valueSize);
  return bpf('element', COMMAND.mapLookup, { map_fd: map, pad: 0, key, value, flags: 0 }) !== -1;
}

/** ENOENT when it is not there. */
export function deleteElement(map: number, key: Uint8Array): void {
  done(bpf('element', COMMAND.mapDelete, { map_fd: map, pad: 0, key, value: null, flags: 0 }), 'bpf map delete');
}

const EAGAIN = 11;
/** The verifier gives up with EAGAIN when a signal is pending. */
const LOAD_ATTEMPTS = 20;

/** `attach`: enum bpf_attach_type, for types that ask for it. The fd is the caller's. Throws a SysError with the last lines of the verifier's reasons. */
export function loadProgram(type: number, code: Uint8Array, attach = 0): number {
  const program = {
    prog_type: type,
    insn_cnt: code.length / 8,
    insns: code,
    // Helpers that change packets are for programs under the GPL alone; ours is one of a few instructions.
    license: 'GPL',
    log_level: 0,
    log_size: 0,
    log_buf: null as Uint8Array | null,
    kern_version: 0,
    prog_flags: 0,
    prog_name: new Array(16).fill(0),
    prog_ifindex: 0,
    expected_attach_type: attach,
  };
  let errno = EAGAIN;
  for (let attempt = 0; errno === EAGAIN && attempt < LOAD_ATTEMPTS; attempt++) {
    const fd = bpf('program', COMMAND.progLoad, program);
    if (fd !== -1) return fd;
    errno = lastErrno();
  }
  const log = Buffer.alloc(LOG_BYTES);
  bpf('program', COMMAND.progLoad, { ...program, log_level: 1, log_size: LOG_BYTES, log_buf: log });
  const reason = log.toString('latin1').replace(/\0+$/, '').trim().split('\n').slice(-3).join('; ');
  throw new SysError('bpf program load', errno, reason);
}

/**
 * For all processes of a cgroup (an fd of its directory) and of those below it. Takes the place of a program of the same kind, between one
 * call and the next, and stays when the fd is closed: until the cgroup is gone.
 */
export function attachToCgroup(cgroup: number, program: number, attach: number): void {
  const attributes = { target_fd: cgroup, attach_bpf_fd: program, attach_type: attach, attach_flags: 0 };
  done(bpf('attach', COMMAND.progAttach, attributes), 'bpf program attach');
}

/** Number of the program of this kind that is attached to the cgroup itself (an fd of its directory); 0: none is. */
export function programOfCgroup(cgroup: number, attach: number): number {
  const ids = new Uint32Array(MOST_PROGRAMS);
  const query = {
    target_fd: cgroup,
    attach_type: attach,
    query_flags: 0,
    attach_flags: 0,
    prog_ids: new Uint8Array(ids.buffer),
    prog_cnt: MOST_PROGRAMS,
    pad: 0,
    prog_attach_flags: null,
  };
  done(bpf('query', COMMAND.progQuery, query), 'bpf program query');
  return ids[0]!;
}
