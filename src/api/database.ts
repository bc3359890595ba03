// Room api: the table of revisions on disk (SQLite in WAL mode): every write is one row, and the newest row of a key is the object.
import { closeSync, fdatasync, fsyncSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { Fault } from '../observe/fault.ts';

export interface Revision {
  readonly rev: number;
  /** `pods`, `deployments.apps` */
  readonly resource: string;
  /** '' for cluster-scoped objects. */
  readonly namespace: string;
  readonly name: string;
  /** The revision that this one replaces; 0 for a new object. */
  readonly prev: number;
  readonly deleted: boolean;
  /** Unix milliseconds. */
  readonly time: number;
  readonly json: string;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS revisions (
    rev INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    prev INTEGER NOT NULL, deleted INTEGER NOT NULL, time INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;`;

const SQLITE_BUSY = 5;

/** The lock is held until close, so that two servers cannot write to one state directory. */
function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    db.exec('PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;');
    db.exec(SCHEMA);
    db.exec("INSERT OR REPLACE INTO marks VALUES ('format', 1)"); // takes the lock, and makes the file that sync() flushes
  } catch (error) {
    db.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw unreadable(path, error);
    throw new Fault(`${path} is in use by another API server`, { mend: 'stop the other one first', cause: error });
  }
  return db;
}

/** Its name is flushed too: a file whose directory entry is lost is lost. */
function openWal(path: string): number {
  const directory = openSync(dirname(path), 'r');
  fsyncSync(directory);
  closeSync(directory);
  return openSync(`${path}-wal`, 'r+');
}

function unreadable(path: string, cause: unknown): Fault {
  return new Fault(`${path} cannot be read: ${(cause as Error).message}`, {
    mend: 'put a copy of it in its place, or take the cluster down and up anew',
    cause,
  });
}

/**
 * A commit writes to the WAL without waiting for the disk (synchronous=NORMAL); `sync()` then flushes the WAL on libuv's
 * pool, so that the event loop gathers the next group of writes meanwhile. A checkpoint flushes the WAL by itself first.
 */
export class RevisionDatabase {
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #walFd: number | undefined;
  readonly #insert: StatementSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;

  /** `path` is a file, or `:memory:`. */
  constructor(path: string) {
    this.#path = path;
    this.#db = openDatabase(path);
    this.#walFd = path === ':memory:' ? undefined : openWal(path);
    this.#insert = this.#db.prepare('INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
    this.#begin = this.#db.prepare('BEGIN IMMEDIATE');
    this.#commit = this.#db.prepare('COMMIT');
  }

  mark(name: string): number {
    const row = this.#db.prepare('SELECT value FROM marks WHERE name = ?').get(name);
    return row ? Number(row['value']) : 0;
  }

  setMark(name: string, value: number): void {
    this.#db.prepare('INSERT OR REPLACE INTO marks VALUES (?, ?)').run(name, value);
  }

  /** Every revision that is left, oldest first. */
  *revisions(): Iterable<Revision> {
    try {
      for (const row of this.#db.prepare('SELECT * FROM revisions ORDER BY rev').iterate()) {
        yield { ...(row as unknown as Revision), deleted: row['deleted'] === 1 };
      }
    } catch (error) {
      throw unreadable(this.#path, error);
    }
  }

  /** One transaction; throws when the disk refuses, and then nothing of it was written. */
  append(revisions: readonly Revision[]): void {
    this.#begin.run();
    try {
      for (const r of revisions) {
        this.#insert.run(r.rev, r.resource, r.namespace, r.name, r.prev, r.deleted ? 1 : 0, r.time, r.json);
      }
      this.#commit.run();
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  /** Resolves when everything that was appended before is on the disk. */
  sync(): Promise<void> {
    const fd = this.#walFd;
    if (fd === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => fdatasync(fd, (error) => (error ? reject(error) : resolve())));
  }

  /** Forgets what was replaced or deleted at or before `rev`. */
  compact(rev: number): void {
    this.#begin.run();
    try {
      this.#db
        .prepare('DELETE FROM revisions WHERE rev IN (SELECT prev FROM revisions WHERE rev <= ? AND prev > 0)')
        .run(rev);
      this.#db.prepare('DELETE FROM revisions WHERE rev <= ? AND deleted = 1').run(rev);
      this.setMark('compacted', rev);
      this.#commit.run();
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  close(): void {
    this.#db.close();
    if (this.#walFd !== undefined) closeSync(this.#walFd);
  }
}
