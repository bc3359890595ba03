// Room sys: system calls on threads of libuv's pool: for what the kernel takes its time for, while this thread goes on.
import { constants } from 'node:os';
import { SysError } from './ffi.ts';

/** send(), recv() and their like, through koffi. */
export interface PoolCall {
  async(fd: number, bytes: Uint8Array, length: number, flags: number, done: PoolCallback): void;
}

type PoolCallback = (error: Error | null, result: number | bigint) => void;

/** What pool threads read or fill: koffi does not keep it from being collected. */
const underWay = new Set<Uint8Array>();

/** How many calls of pool threads this thread has yet to be told of. */
export function callsUnderWay(): number {
  return underWay.size;
}

/**
 * V8 keeps up to 64 bytes of a typed array on its heap and moves them as it collects garbage, under the hands of a pool thread:
 * the kernel passes over a message without a header, and nobody answers.
 */
export function offHeap(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new ArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** `bytes` lie off the heap. Resolves with what the call returns; throws a SysError. */
export function callInPool(call: PoolCall, fd: number, bytes: Uint8Array, flags: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  underWay.add(bytes);
  call.async(fd, bytes, bytes.length, flags, (error, result) => {
    underWay.delete(bytes);
    // errno is that thread's own, and it does not tell.
    if (error || Number(result) === -1) reject(new SysError('netlink', constants.errno.EIO, error?.message));
    else resolve(Number(result));
  });
  return promise;
}
