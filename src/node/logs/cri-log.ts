// Room node: container logs in CRI's format: `<RFC 3339 time> <stdout|stderr> <F|P> <text>`, P for a line that goes on.

export interface LogOptions {
  readonly timestamps: boolean;
  /** Only what was said at or after (ms since the epoch). */
  readonly since?: number;
  readonly limitBytes?: number;
}

/** Turns bytes of a log file into what `kubectl logs` shows. Feed it the file piece by piece. */
export class LogFormatter {
  readonly #options: LogOptions;
  #rest = Buffer.alloc(0);
  #left: number;
  #atLineStart = true;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  /** limitBytes have been given out. */
  get full(): boolean {
    return this.#left <= 0;
  }

  /** Only whole lines of the file come out; the rest waits for more. */
  push(chunk: Buffer): Buffer {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    const out: Buffer[] = [];
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      this.#line(bytes.subarray(start, end), out);
      start = end + 1;
    }
    this.#rest = Buffer.from(bytes.subarray(start));
    const shown = Buffer.concat(out).subarray(0, this.#left);
    this.#left -= shown.length;
    return shown;
  }

  #line(line: Buffer, out: Buffer[]): void {
    const entry = parseEntry(line);
    if (!entry) return;
    const { timestamps, since } = this.#options;
    if (since !== undefined && Date.parse(entry.time) < since) return;
    if (timestamps && this.#atLineStart) out.push(Buffer.from(`${entry.time.replace(/\+00:00$/, 'Z')} `));
    out.push(entry.text);
    if (!entry.partial) out.push(NEWLINE);
    this.#atLineStart = !entry.partial;
  }
}

const NEWLINE = Buffer.from('\n');

interface LogEntry {
  readonly time: string;
  readonly stream: string;
  readonly partial: boolean;
  readonly text: Buffer;
}

/** Undefined for what is not a line of such a log. */
export function parseEntry(line: Buffer): LogEntry | undefined {
  const first = line.indexOf(32);
  const second = line.indexOf(32, first + 1);
  if (first < 0 || second < 0) return undefined;
  const third = line.indexOf(32, second + 1);
  const tag = line.toString('latin1', second + 1, third < 0 ? line.length : third);
  return {
    time: line.toString('latin1', 0, first),
    stream: line.toString('latin1', first + 1, second),
    // Tags may be joined with colons; the first says whether the line goes on.
    partial: tag.split(':')[0] === 'P',
    text: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1),
  };
}

/** Where in `bytes` the last `count` lines that were said begin (a line of several P entries is one); -1 when they hold fewer. */
export function tailStart(bytes: Buffer, count: number): number {
  let found = 0;
  let lineEnd = bytes.length;
  while (lineEnd > 0) {
    const lineStart = bytes.lastIndexOf(10, lineEnd - 2) + 1;
    const line = bytes.subarray(lineStart, lineEnd - 1);
    if (!parseEntry(line)?.partial && ++found > count) return lineEnd;
    lineEnd = lineStart;
  }
  return found >= count ? 0 : -1;
}
