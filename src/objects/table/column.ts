// Room objects: one column of a table: what it is called and how a cell is made.
import type { V1PodSpec } from '@kubernetes/client-node';
import { type LabelSelector, selectorText } from '../select.ts';
import type { Json, StoredMeta } from '../types.ts';
import { since } from './age.ts';
import type { TableColumn } from './table.ts';

export const NONE = '<none>';

export interface Column<T> {
  readonly definition: TableColumn;
  readonly cell: (object: T, now: number) => unknown;
}

export interface ColumnOptions {
  readonly type?: TableColumn['type'];
  readonly format?: string;
  /** Printed with -o wide only. */
  readonly wide?: boolean;
}

/** Kubernetes describes its columns at length; nothing prints that, so that the name stands for it. */
export function column<T>(name: string, cell: Column<T>['cell'], options: ColumnOptions = {}): Column<T> {
  const { type = 'string', format = '', wide = false } = options;
  return { definition: { name, type, format, description: name, priority: wide ? 1 : 0 }, cell };
}

export const WIDE: ColumnOptions = { wide: true };
export const INTEGER: ColumnOptions = { type: 'integer' };

export const NAME = column<{ metadata: StoredMeta }>('Name', ({ metadata }) => metadata.name, { format: 'name' });
export const AGE = column<{ metadata: StoredMeta }>('Age', ({ metadata }, now) =>
  since(metadata.creationTimestamp, now),
);

/** CONTAINERS and IMAGES of a pod template, and its selector. */
export function templateColumns<T>(
  spec: (object: T) => Json<V1PodSpec> | undefined,
  selector: (object: T) => string,
): Column<T>[] {
  const list = (field: 'name' | 'image') => (object: T) =>
    (spec(object)?.containers ?? []).map((container) => container[field]).join(',');
  return [
    column('Containers', list('name'), WIDE),
    column('Images', list('image'), WIDE),
    column('Selector', selector, WIDE),
  ];
}

/** `app=web,tier=db`, or <none>. */
export function labelsText(labels: Record<string, string> | undefined): string {
  return selectorText(labels ? { matchLabels: labels } : {}) || NONE;
}

/** A selector as kubectl prints it; <none> selects everything. */
export function selectorCell(selector: LabelSelector | undefined): string {
  return (selector && selectorText(selector)) || NONE;
}

/** The first items and how many more there are: `a,b,c + 2 more...`. */
export function firstOf(items: readonly string[], limit: number): string {
  if (items.length <= limit) return items.join(',') || NONE;
  return `${items.slice(0, limit).join(',')} + ${items.length - limit} more...`;
}
