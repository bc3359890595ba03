// Room api: in which form a client wants its answer (Accept, RFC 9110 12.5.1), and the answer in that form.
import type { KindRow } from '../objects/kinds.ts';
import { failure } from '../objects/status.ts';
import { type TableOptions, tableFor } from '../objects/table/table.ts';
import type { KubeObject } from '../objects/types.ts';
import { type Content, jsonOf } from './answer.ts';
import type { Entry } from './bucket.ts';
import type { WatchType } from './watch.ts';

export type Form = 'json' | 'table' | 'metadata' | 'discovery';

export interface MediaRange {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
}

export function parseAccept(accept: string | undefined): MediaRange[] {
  return (accept || '*/*').split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    return { type: type.toLowerCase(), parameters: Object.fromEntries(parameters.map((each) => each.split('='))) };
  });
}

const isJson = (type: string) => type === 'application/json' || type === 'application/*' || type === '*/*';

/** The first form of the list that we have; clients name them in the order of their liking. Throws 406. */
export function formOf(accept: string | undefined): Form {
  for (const { type, parameters } of parseAccept(accept)) {
    if (!isJson(type)) continue;
    const { as, g, v } = parameters;
    if (as === undefined) return 'json';
    if (as === 'Table' && g === 'meta.k8s.io' && v === 'v1') return 'table';
    if (as.startsWith('PartialObjectMetadata') && g === 'meta.k8s.io' && v === 'v1') return 'metadata';
    if (as === 'APIGroupDiscoveryList' && g === 'apidiscovery.k8s.io' && v === 'v2') return 'discovery';
  }
  const message = 'only the following media types are accepted: application/json';
  throw failure(406, 'NotAcceptable', message);
}

export interface RenderOptions extends TableOptions {
  readonly form: Form;
}

/** JSON text of the content in the wanted form. */
export function render(content: Content, options: RenderOptions): string {
  if (content.type === 'object' && content.entry.object.kind === content.row.apiKind) {
    return renderEntry(content.row, content.entry, options);
  }
  if (content.type !== 'list' || options.form === 'json') return jsonOf(content);
  const { row, entries, metadata } = content;
  const objects = entries.map((entry) => entry.object);
  if (options.form === 'table') return JSON.stringify({ ...tableFor(row, objects, options), metadata });
  const items = objects.map((object) => partialMetadata(object));
  return JSON.stringify({ kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata, items });
}

function renderEntry(row: KindRow, entry: Entry, options: RenderOptions): string {
  if (options.form === 'table') {
    const { resourceVersion } = entry.object.metadata;
    return JSON.stringify({ ...tableFor(row, [entry.object], options), metadata: { resourceVersion } });
  }
  return options.form === 'metadata' ? JSON.stringify(partialMetadata(entry.object)) : entry.json;
}

function partialMetadata({ metadata }: KubeObject): object {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

/** The text of watch events, one line each. Only the first table of a watch carries the columns. */
export function eventRenderer(row: KindRow, options: RenderOptions): (type: WatchType, entry: Entry) => string {
  let headers = true;
  return (type, entry) => {
    if (options.form === 'table' && type === 'BOOKMARK') return eventLine(type, emptyTable(entry.object));
    const text = renderEntry(row, entry, { ...options, headers });
    if (type !== 'BOOKMARK') headers = false;
    return eventLine(type, text);
  };
}

function emptyTable({ metadata }: KubeObject): string {
  return JSON.stringify({ kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata, columnDefinitions: [], rows: [] });
}

export function eventLine(type: WatchType | 'ERROR', json: string): string {
  return `{"type":"${type}","object":${json}}\n`;
}

export function includeObjectOf(query: Readonly<Record<string, string>>): TableOptions['includeObject'] {
  const wanted = query['includeObject'];
  return wanted === 'Object' || wanted === 'None' ? wanted : 'Metadata';
}
