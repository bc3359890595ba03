// Room runtime: what is written down of each sandbox and container, so that the next process knows what this one ran.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { replaceFileSoon } from '../sys/durable-file.ts';
import { makeFolder } from '../sys/folder.ts';
import type { ContainerSpec, ContainerStatus, Sandbox } from './runtime.ts';

/** A process of ours, to be told from a later one with the same pid. */
export interface RecordedProcess {
  readonly pid: number;
  readonly startTime: string;
}

export interface ContainerRecord {
  readonly spec: ContainerSpec;
  /** `creating` is on disk before anything else of the container is: a crash after it leaves something to be cleared away. */
  readonly state: 'creating' | 'running' | 'exited';
  /** Process 1 of the container. */
  readonly init?: RecordedProcess;
  readonly conmon?: RecordedProcess;
  readonly startedAt: string;
  readonly finishedAt?: string;
  readonly exitCode?: number;
  readonly reason?: NonNullable<ContainerStatus['reason']>;
  readonly message?: string;
}

export function statusOf(record: ContainerRecord): ContainerStatus {
  const { spec, state, init, conmon: _, ...rest } = record;
  const { id, sandboxId, name, attempt, logPath } = spec;
  const pid = state === 'running' ? { pid: init!.pid } : {};
  const common = { id, sandboxId, name, attempt, logPath, imageRef: spec.image.ref };
  return { ...common, ...rest, ...pid, state: state === 'exited' ? 'exited' : 'running' };
}

/** Readers see the old text or the new one. A pod's start waits for no disk: after a crash of the machine nothing runs that it could tell of. */
export function writeRecord(path: string, record: ContainerRecord | Sandbox): void {
  makeFolder(dirname(path));
  replaceFileSoon(path, JSON.stringify(record));
}

/**
 * The records in all folders of `dir`; a folder without one was on its way in or out and is returned as `incomplete`, as is
 * one whose record is damaged: what cannot be told from it is cleared away, and the pod makes it anew.
 */
export function readRecords<T>(dir: string): { records: T[]; incomplete: string[] } {
  const records: T[] = [];
  const incomplete: string[] = [];
  for (const id of listDir(dir)) {
    const record = parseJson(readText(join(dir, id, 'record.json')));
    if (record === undefined) incomplete.push(id);
    else records.push(record as T);
  }
  return { records, incomplete };
}

/** An object or undefined: also for a text that was cut off. */
export function parseJson(text: string | undefined): object | undefined {
  try {
    const value: unknown = JSON.parse(text ?? 'null');
    return typeof value === 'object' ? (value ?? undefined) : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined when there is no such file. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Empty when there is no such directory. */
export function listDir(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
