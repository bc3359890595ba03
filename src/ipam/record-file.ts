// Room ipam: records by name in one file to which is only written at the end: a change creates no file, and is there whole or not at all.
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { withFileLock } from '../sys/flock.ts';
import { makeFolder } from '../sys/folder.ts';
import { codeOf } from './state-file.ts';

/** By name; null: the record is gone. */
export type Changes<T> = Readonly<Record<string, T | null>>;

/** Of a record that nobody needs any more: it is left out when the file is written anew. */
export type Worn<T> = (value: T) => boolean;

/** The first line. `kept`: how many bytes there were when the file was written anew. */
interface Header {
  readonly podwire: 1;
  readonly boot: string;
  readonly kept: number;
}

/** A file is written anew when it is twice as long as it then was, and this much. */
const ROOM = 64 * 1024;

/**
 * Lines of JSON: a Header, then Changes. A line without its end is of somebody who was killed while writing: it counts for
 * nothing, and the next who writes takes it away. Whoever writes holds the lock at `<path>.lock`; whoever reads does not. One
 * object can be kept: it reads only what is new.
 */
export class RecordFile<T> {
  readonly #path: string;
  readonly #bootId: string;
  readonly #records = new Map<string, T>();
  /** Which file was read, and how far. */
  #identity = '';
  #offset = 0;
  #kept = 0;

  /** Records of another boot than `bootId` (/proc/sys/kernel/random/boot_id) are nobody's: no container outlives its boot. */
  constructor(path: string, bootId = currentBoot()) {
    this.#path = path;
    this.#bootId = bootId;
  }

  /** All, as the file says now. */
  read(): ReadonlyMap<string, T> {
    try {
      const fd = openSync(this.#path, constants.O_RDONLY);
      try {
        this.#catchUp(fd);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      this.#forget('');
    }
    return this.#records;
  }

  /** Nobody else writes meanwhile. What one call of `write` is given is there as a whole or not at all, also when we are killed. */
  locked<R>(work: (records: ReadonlyMap<string, T>, write: (changes: Changes<T>) => void) => R, worn?: Worn<T>): R {
    return this.#withLock(() => {
      const fd = this.#open(worn);
      try {
        return work(this.#records, (changes) => this.#append(fd, changes));
      } finally {
        closeSync(fd);
      }
    });
  }

  #withLock<R>(work: () => R): R {
    const lock = `${this.#path}.lock`;
    try {
      return withFileLock(lock, work);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      makeFolder(dirname(this.#path), 0o700);
      return withFileLock(lock, work);
    }
  }

  /** Ready to be written to: of this boot, with no torn end, and no longer than it must be. */
  #open(worn: Worn<T> | undefined): number {
    const fd = openForWriting(this.#path);
    try {
      this.#catchUp(fd);
      if (this.#offset === 0) {
        ftruncateSync(fd, 0);
        this.#kept = 0;
        this.#writeLine(fd, this.#header(0));
      }
      if (fstatSync(fd).size > this.#offset) ftruncateSync(fd, this.#offset);
      if (this.#offset < 2 * this.#kept + ROOM) return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return this.#rewritten(worn);
  }

  #rewritten(worn: Worn<T> | undefined): number {
    for (const [name, value] of this.#records) if (worn?.(value)) this.#records.delete(name);
    const body = [...this.#records].map(([name, value]) => lineOf({ [name]: value })).join('');
    const fresh = `${this.#path}.new`;
    writeFileSync(fresh, lineOf(this.#header(Buffer.byteLength(body))) + body, { mode: 0o600 });
    renameSync(fresh, this.#path);
    const fd = openForWriting(this.#path);
    this.#catchUp(fd);
    return fd;
  }

  #header(kept: number): Header {
    return { podwire: 1, boot: this.#bootId, kept };
  }

  #append(fd: number, changes: Changes<T>): void {
    this.#writeLine(fd, changes);
    this.#take(changes);
  }

  #writeLine(fd: number, value: object): void {
    const bytes = Buffer.from(lineOf(value));
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    } catch (error) {
      // A full disk: what is there of it must not be in the way of the next.
      ftruncateSync(fd, this.#offset);
      throw error;
    }
    this.#offset += bytes.length;
  }

  #catchUp(fd: number): void {
    const { ino, birthtimeMs, size } = fstatSync(fd);
    const identity = `${ino} ${birthtimeMs}`;
    if (identity !== this.#identity || size < this.#offset) this.#forget(identity);
    if (size === this.#offset) return;
    const bytes = readFrom(fd, this.#offset, size);
    const end = bytes.lastIndexOf('\n') + 1;
    let lines = bytes.toString('utf8', 0, end).split('\n').slice(0, -1);
    if (this.#offset === 0) {
      const header = parsed<Header>(lines[0]);
      // Of another boot, or nobody's: as if it were empty.
      if (header?.podwire !== 1 || header.boot !== this.#bootId) return;
      this.#kept = header.kept;
      lines = lines.slice(1);
    }
    for (const line of lines) this.#take(parsed<Changes<T>>(line) ?? {});
    this.#offset += end;
  }

  #take(changes: Changes<T>): void {
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) this.#records.delete(name);
      else this.#records.set(name, value);
    }
  }

  #forget(identity: string): void {
    this.#records.clear();
    this.#identity = identity;
    this.#offset = 0;
    this.#kept = 0;
  }
}

/** Those that a program reads again and again, kept. */
export class RecordFiles {
  readonly #bootId: string | undefined;
  readonly #open = new Map<string, RecordFile<unknown>>();

  constructor(bootId?: string) {
    this.#bootId = bootId;
  }

  /** A path has records of one kind only. */
  at<T>(path: string): RecordFile<T> {
    const open = this.#open.get(path) ?? new RecordFile<unknown>(path, this.#bootId);
    this.#open.set(path, open);
    return open as RecordFile<T>;
  }
}

let boot: string | undefined;

export function currentBoot(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return boot;
}

function openForWriting(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o600);
}

function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function parsed<V>(line: string | undefined): V | undefined {
  try {
    return JSON.parse(line ?? '') as V;
  } catch {
    return undefined;
  }
}

function readFrom(fd: number, offset: number, end: number): Buffer {
  const bytes = Buffer.alloc(end - offset);
  let length = 0;
  while (length < bytes.length) {
    const read = readSync(fd, bytes, length, bytes.length - length, offset + length);
    if (read === 0) break;
    length += read;
  }
  return bytes.subarray(0, length);
}
