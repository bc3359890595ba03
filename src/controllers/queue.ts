// Room controllers: a work queue of keys: level-triggered, each key at most once in the queue and never handled twice at a time.
import { isConflict, StatusError } from '../objects/status.ts';
import { logger } from '../observe/log.ts';

const log = logger('controllers');

export interface Queue {
  /** Runs the key in the next microtask, or once more after the run that is under way. */
  add(key: string): void;
  /** Adds the key after so many milliseconds; of several times for one key the earliest counts. */
  addAfter(key: string, milliseconds: number): void;
  /** Nothing starts after it; what runs is left to end. */
  close(): void;
}

export interface QueueOptions {
  /** Keys handled at the same time. */
  readonly workers?: number;
  readonly firstRetryMs?: number;
  readonly lastRetryMs?: number;
}

/** `sync` brings the world nearer to what the object of the key wants; when it throws, the key is tried again, ever more slowly. */
export function createQueue(name: string, sync: (key: string) => Promise<void>, options: QueueOptions = {}): Queue {
  const { workers = 16, firstRetryMs = 5, lastRetryMs = 30_000 } = options;
  const waiting = new Set<string>();
  const running = new Set<string>();
  const again = new Set<string>();
  const failures = new Map<string, number>();
  const timers = new Map<string, { timer: NodeJS.Timeout; at: number }>();
  let closed = false;

  function add(key: string): void {
    if (closed) return;
    if (running.has(key)) again.add(key);
    else if (!waiting.has(key)) {
      waiting.add(key);
      if (waiting.size === 1) queueMicrotask(fill);
    }
  }

  function fill(): void {
    for (const key of waiting) {
      if (closed || running.size >= workers) return;
      waiting.delete(key);
      running.add(key);
      void run(key);
    }
  }

  async function run(key: string): Promise<void> {
    try {
      await sync(key);
      failures.delete(key);
    } catch (error) {
      retry(key, error);
    }
    running.delete(key);
    if (again.delete(key)) waiting.add(key);
    fill();
  }

  function retry(key: string, error: unknown): void {
    if (closed) return;
    const failed = failures.get(key) ?? 0;
    failures.set(key, failed + 1);
    const level = failed > 0 || isExpectedLoss(error) ? 'debug' : 'warn';
    log[level]({ controller: name, key, failed: failed + 1, err: error }, 'a run failed and will be repeated');
    addAfter(key, Math.min(lastRetryMs, firstRetryMs * 2 ** failed));
  }

  function addAfter(key: string, milliseconds: number): void {
    const at = Date.now() + milliseconds;
    const earlier = timers.get(key);
    if (closed || (earlier && earlier.at <= at)) return;
    clearTimeout(earlier?.timer);
    // setTimeout knows no more than 2^31-1 ms; the key simply runs once more then.
    const timer = setTimeout(
      () => {
        timers.delete(key);
        add(key);
      },
      Math.min(milliseconds, 0x7fffffff),
    ).unref();
    timers.set(key, { timer, at });
  }

  function close(): void {
    closed = true;
    for (const { timer } of timers.values()) clearTimeout(timer);
    timers.clear();
    waiting.clear();
  }

  return { add, addAfter, close };
}

/** Another writer was first, or the namespace is going: both are part of normal life. */
function isExpectedLoss(error: unknown): boolean {
  return isConflict(error) || isNamespaceTerminating(error);
}

/** The API server admits no new objects into a namespace that is being deleted. */
export function isNamespaceTerminating(error: unknown): boolean {
  if (!(error instanceof StatusError) || error.code !== 403) return false;
  return error.status.details?.causes?.some((cause) => cause.reason === 'NamespaceTerminating') ?? false;
}
