// Room sys: waiting for descriptors without a thread, and an end of it all when the thread that waits is about to die.
import { koffi } from './ffi.ts';

export interface PollHandle {
  close(): void;
}

/** Also keeps them from being collected: koffi closes such a handle silently. */
const handles = new Set<PollHandle>();

/** Calls back whenever the descriptor can be read, until close(). */
export function pollReadable(fd: number, callback: () => void): PollHandle {
  const inner = koffi.node.poll(fd, { readable: true }, callback);
  const handle = {
    close() {
      if (handles.delete(handle)) inner.close();
    },
  };
  handles.add(handle);
  return handle;
}

/**
 * Of a thread that dies: a callback that comes when no JavaScript can run there any more would not end the thread alone, but the whole
 * process (FATAL ERROR: napi_throw).
 */
export function stopPolling(): void {
  for (const handle of handles) handle.close();
}
