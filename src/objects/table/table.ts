// Room objects: the columns that `kubectl get` prints, as meta.k8s.io/v1 Tables.
import type { KindRow } from '../kinds.ts';
import type { KubeObject } from '../types.ts';

export interface TableColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format: string;
  readonly description: string;
  /** 0 always, 1 with -o wide. */
  readonly priority: number;
}

export interface TableRow {
  readonly cells: readonly unknown[];
  readonly object?: unknown;
}

/** meta.k8s.io/v1 Table. `metadata` is the list's own: resourceVersion, continue, remainingItemCount. */
export interface Table {
  kind: 'Table';
  apiVersion: 'meta.k8s.io/v1';
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  columnDefinitions: readonly TableColumn[];
  rows: readonly TableRow[];
}

export interface TableOptions {
  /** `?includeObject=`; Metadata (a PartialObjectMetadata per row) when not given. */
  readonly includeObject?: 'Metadata' | 'Object' | 'None' | undefined;
  /** False for every watch event after the first, which alone carries the columns. */
  readonly headers?: boolean | undefined;
  /** Milliseconds since the epoch, for ages. */
  readonly now?: number | undefined;
}

export function tableFor(kind: KindRow, objects: readonly KubeObject[], options: TableOptions = {}): Table {
  throw new Error(`not yet: ${kind.kind} ${objects.length} ${options.now}`);
}
