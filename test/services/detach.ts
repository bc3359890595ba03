// What `bpftool cgroup detach` does: programs of a cgroup go, whoever attached them.
import { closeSync, openSync } from 'node:fs';
import { arch } from 'node:process';
import { check, libc } from '../../src/sys/ffi.ts';

const SYS_BPF = arch === 'x64' ? 321 : 280;
const BPF_PROG_DETACH = 9;
const call = libc.func('long syscall(long number, int command, uint8_t *attributes, uint32_t size)');

/** `attach`: enum bpf_attach_type. Throws a SysError, ENOENT where there is none. */
export function detach(cgroup: string, attach: number): void {
  const directory = openSync(cgroup, 'r');
  try {
    const attributes = Buffer.from(Uint32Array.of(directory, 0, attach, 0).buffer);
    check(Number(call(SYS_BPF, BPF_PROG_DETACH, attributes, attributes.length)), 'bpf program detach');
  } finally {
    closeSync(directory);
  }
}
