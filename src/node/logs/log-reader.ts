// Room node: reads a container's log file, from its end if so asked, and follows it while the container runs.
import { watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { LogFormatter, type LogOptions, tailStart } from './cri-log.ts';

export interface ReadLogOptions extends LogOptions {
  readonly tailLines?: number;
  /** Follow until this is aborted: the container has ended, or the reader has gone. */
  readonly follow?: AbortSignal;
}

const CHUNK = 64 * 1024;

/** Pieces of text as `kubectl logs` shows them. Rejects with ENOENT when there is no such log. */
export async function* readLog(path: string, options: ReadLogOptions): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  const changes = options.follow && new Changes(path, options.follow);
  try {
    const formatter = new LogFormatter(options);
    let position = options.tailLines === undefined ? 0 : await findTail(file, options.tailLines);
    for (;;) {
      // Asked before the read: what is written after the last word of a container is read once more.
      const last = !changes || changes.over;
      for (;;) {
        const chunk = await readAt(file, position, CHUNK);
        if (chunk.length === 0) break;
        position += chunk.length;
        const text = formatter.push(chunk);
        if (text.length > 0) yield text;
        if (formatter.full) return;
      }
      if (last) return;
      await changes.next();
    }
  } finally {
    changes?.close();
    await file.close();
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}

async function findTail(file: FileHandle, lines: number): Promise<number> {
  const { size } = await file.stat();
  if (lines <= 0) return size;
  for (let length = CHUNK; ; length *= 4) {
    const start = Math.max(0, size - length);
    const bytes = await readAt(file, start, size - start);
    // The first line of a piece may be cut: it does not count unless the piece is the whole file.
    const firstLine = start === 0 ? 0 : bytes.indexOf(10) + 1;
    const found = tailStart(bytes.subarray(firstLine), lines);
    if (start === 0) return Math.max(found, 0);
    if (found > 0) return start + firstLine + found;
  }
}

/** Tells when a file has grown (inotify), without missing what happens between two questions. */
class Changes {
  readonly #watcher;
  readonly #signal: AbortSignal;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(path: string, signal: AbortSignal) {
    this.#signal = signal;
    this.#watcher = watch(path, () => this.#notify());
    signal.addEventListener('abort', () => this.#notify());
  }

  get over(): boolean {
    return this.#signal.aborted;
  }

  #notify(): void {
    this.#changed = true;
    this.#wake?.();
  }

  async next(): Promise<void> {
    if (!this.#changed && !this.over) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#changed = false;
  }

  close(): void {
    this.#watcher.close();
  }
}
