// Room cache: a list and its watch kept as a local, indexed copy of one kind.
import type { Client } from '../client/client.ts';
import type { Kind, KindTypes } from '../objects/types.ts';

export type Change<T> =
  | { readonly type: 'add'; readonly object: T }
  | { readonly type: 'update'; readonly object: T; readonly old: T }
  | { readonly type: 'delete'; readonly object: T };

export interface InformerOptions<T> {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** Index name to the values under which an object is found. */
  indexes?: Record<string, (object: T) => readonly string[]>;
}

/** A read-only view of one kind, kept up to date. Objects are shared: never change them. */
export interface Informer<T> {
  /** True once the first list has been delivered to every handler. "Not synced" is a state with an answer of its own. */
  readonly hasSynced: boolean;
  readonly synced: Promise<void>;
  /** By `namespace/name`, or `name` for cluster-scoped kinds. */
  get(key: string): T | undefined;
  list(): Iterable<T>;
  byIndex(index: string, value: string): Iterable<T>;
  /** The handler first sees an `add` for each object known by now, then every change in order. Returns how to stop. */
  onChange(handler: (change: Change<T>) => void): () => void;
  close(): void;
}

export type InformerOf = <K extends Kind>(
  client: Client,
  kind: K,
  options?: InformerOptions<KindTypes[K]>,
) => Informer<KindTypes[K]>;
