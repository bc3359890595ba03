// Room sys: what the calling thread asks of the kernel's scheduler.
import { getPriority } from 'node:os';
import { koffi, libc } from './ffi.ts';

/** By Node's name of the architecture. */
const SYS_sched_setattr: Readonly<Record<string, number>> = { x64: 314, arm64: 274 };
const SCHED_OTHER = 0;
/** What the thread starts has slices as everybody has. */
const SCHED_FLAG_RESET_ON_FORK = 1;
/** The least that the kernel takes, in nanoseconds. */
const SHORT_SLICE = 100_000;
/** struct sched_attr up to sched_period: all that older kernels know. */
const ATTR = 48;

const cSetattr = libc.func('syscall', 'long', ['long', 'int', 'void *', 'uint32_t']);

/**
 * For a thread that works little at a time and is waited for: it takes a CPU as soon as it wakes, also from a thread whose slice is longer
 * and not over (Linux 6.12 and later; before, nothing changes). It gets no more of the CPU than others: its turns are shorter, too.
 * False where the machine does not let us.
 */
export function preferShortSlices(): boolean {
  const number = SYS_sched_setattr[process.arch];
  if (number === undefined) return false;
  const attr = Buffer.alloc(ATTR);
  attr.writeUInt32LE(ATTR, 0);
  attr.writeUInt32LE(SCHED_OTHER, 4);
  attr.writeBigUInt64LE(BigInt(SCHED_FLAG_RESET_ON_FORK), 8);
  attr.writeInt32LE(getPriority(), 16);
  attr.writeBigUInt64LE(BigInt(SHORT_SLICE), 24);
  return Number(cSetattr(number, 0, koffi.as(attr, 'void *'), 0)) === 0;
}
