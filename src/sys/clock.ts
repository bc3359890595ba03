// Room sys: the pace of the kernel's own clock.
import { check, koffi, libc } from './ffi.ts';

const CLOCK_MONOTONIC_COARSE = 6;
const NANOSECONDS = 1_000_000_000;

/** The kernel's HZ, in which it counts timeouts: the coarse clocks go on once a tick. */
export function ticksPerSecond(): number {
  const timespec = koffi.struct({ tv_sec: 'int64_t', tv_nsec: 'int64_t' });
  const getres = libc.func('clock_getres', 'int', ['int', koffi.out(koffi.pointer(timespec))]);
  const resolution = { tv_sec: 0, tv_nsec: 0 };
  check(getres(CLOCK_MONOTONIC_COARSE, resolution), 'clock_getres');
  return Math.round(NANOSECONDS / Number(resolution.tv_nsec));
}
