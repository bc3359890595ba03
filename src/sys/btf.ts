// Room sys: the kernel's description of its own types (BTF), in one piece.
import { closeSync, readFileSync } from 'node:fs';
import { bpfCommand } from './bpf.ts';
import { koffi } from './ffi.ts';

const COMMAND = { infoByFd: 15, fdById: 19, nextId: 23 } as const;
/** `struct bpf_btf_info` */
const INFO = { bytes: 40, btf: 0, size: 8, name: 16, nameBytes: 24, isKernel: 28 } as const;
const NAME = 'vmlinux\0';
const FILE = '/sys/kernel/btf/vmlinux';

/** Undefined where the kernel has none. The file gives a page with each read, which takes three times as long as the system call. */
export function kernelBtf(): Uint8Array | undefined {
  const known = knownBtf();
  if (known) return known;
  try {
    return readFileSync(FILE);
  } catch {
    return undefined;
  }
}

/** The kernel has it at hand as soon as anybody's program was checked since the machine's start. */
function knownBtf(): Uint8Array | undefined {
  const onId = bpfCommand({ id: 'uint32_t', next_id: 'uint32_t', open_flags: 'uint32_t' }, 'inout');
  for (const last = { id: 0, next_id: 0, open_flags: 0 }; onId(COMMAND.nextId, last) === 0; last.id = last.next_id) {
    const fd = onId(COMMAND.fdById, { id: last.next_id, next_id: 0, open_flags: 0 });
    if (fd === -1) continue;
    try {
      const btf = contentOf(fd);
      if (btf) return btf;
    } finally {
      closeSync(fd);
    }
  }
  return undefined;
}

function contentOf(fd: number): Uint8Array | undefined {
  const onInfo = bpfCommand({ fd: 'uint32_t', info_len: 'uint32_t', info: 'uint8_t *' });
  const info = Buffer.alloc(INFO.bytes);
  const ask = () => onInfo(COMMAND.infoByFd, { fd, info_len: info.length, info }) !== -1;
  const name = Buffer.allocUnsafeSlow(NAME.length);
  info.writeBigUInt64LE(koffi.address(name), INFO.name);
  info.writeUInt32LE(name.length, INFO.nameBytes);
  if (!ask() || info.readUInt32LE(INFO.isKernel) !== 1 || name.toString('latin1') !== NAME) return undefined;
  const btf = Buffer.allocUnsafeSlow(info.readUInt32LE(INFO.size));
  info.fill(0);
  info.writeBigUInt64LE(koffi.address(btf), INFO.btf);
  info.writeUInt32LE(btf.length, INFO.size);
  return ask() ? btf : undefined;
}
