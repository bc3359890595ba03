// Room sys: bpf(2): maps and programs.
import { arch } from 'node:process';
import { koffi, lastErrno, libc, SysError } from './ffi.ts';

const SYS_BPF: number = { x64: 321, arm64: 280 }[arch as string] ?? 280;
const COMMAND = { mapCreate: 0, mapUpdate: 2, mapDelete: 3, progLoad: 5 } as const;
const MAP_TYPE = { hash: 1, prefixes: 11 } as const;
const NO_PREALLOC = 1;
export const SCHED_CLS = 3;
const LOG_BYTES = 1 << 16;

type Attributes = ReturnType<typeof koffi.struct>;

function command(fields: Record<string, string>) {
  const attributes: Attributes = koffi.struct(fields);
  const call = libc.func('syscall', 'long', ['long', 'int', koffi.pointer(attributes), 'uint32_t']);
  const size = koffi.sizeof(attributes);
  return (number: number, value: object) => Number(call(SYS_BPF, number, value, size));
}

type Command = ReturnType<typeof command>;
let defined: { onMap: Command; onElement: Command; onProgram: Command } | undefined;

/** `union bpf_attr` as each command sees it. Defined when first used: most nodes never do. */
function bpf(): NonNullable<typeof defined> {
  defined ??= {
    onMap: command({
      map_type: 'uint32_t',
      key_size: 'uint32_t',
      value_size: 'uint32_t',
      max_entries: 'uint32_t',
      map_flags: 'uint32_t',
    }),
    onElement: command({
      map_fd: 'uint32_t',
      pad: 'uint32_t',
      key: 'const uint8_t *',
      value: 'const uint8_t *',
      flags: 'uint64_t',
    }),
    onProgram: command({
      prog_type: 'uint32_t',
      insn_cnt: 'uint32_t',
      insns: 'const uint8_t *',
      license: 'const char *',
      log_level: 'uint32_t',
      log_size: 'uint32_t',
      log_buf: 'uint8_t *',
    }),
  };
  return defined;
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

/** In `prefixes` the longest one wins. Entries take memory when they are made. The fd is the caller's. */
export function createMap(type: keyof typeof MAP_TYPE, { keySize, valueSize, maxEntries }: MapShape): number {
  const attributes = {
    map_type: MAP_TYPE[type],
    key_size: keySize,
    value_size: valueSize,
    max_entries: maxEntries,
    map_flags: NO_PREALLOC,
  };
  return done(bpf().onMap(COMMAND.mapCreate, attributes), 'bpf map create');
}

export function updateElement(map: number, key: Uint8Array, value: Uint8Array): void {
  done(bpf().onElement(COMMAND.mapUpdate, { map_fd: map, pad: 0, key, value, flags: 0 }), 'bpf map update');
}

/** ENOENT when it is not there. */
export function deleteElement(map: number, key: Uint8Array): void {
  done(bpf().onElement(COMMAND.mapDelete, { map_fd: map, pad: 0, key, value: null, flags: 0 }), 'bpf map delete');
}

/** The fd is the caller's. Throws a SysError with the last lines of the verifier's reasons. */
export function loadProgram(type: number, code: Uint8Array): number {
  const program = {
    prog_type: type,
    insn_cnt: code.length / 8,
    insns: code,
    // Helpers that change packets are for programs under the GPL alone; ours is one of a few instructions.
    license: 'GPL',
    log_level: 0,
    log_size: 0,
    log_buf: null as Uint8Array | null,
  };
  const fd = bpf().onProgram(COMMAND.progLoad, program);
  if (fd !== -1) return fd;
  const errno = lastErrno();
  const log = Buffer.alloc(LOG_BYTES);
  bpf().onProgram(COMMAND.progLoad, { ...program, log_level: 1, log_size: LOG_BYTES, log_buf: log });
  const reason = log.toString('latin1').replace(/\0+$/, '').trim().split('\n').slice(-3).join('; ');
  throw new SysError('bpf program load', errno, reason);
}
