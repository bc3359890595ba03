// Room api: what the server answers, before it is known in which form the client wants it.
import type { ApiRequest } from '../client/transport.ts';
import { apiVersionOf, type KindRow } from '../objects/kinds.ts';
import { type Status, type StatusCause, StatusError } from '../objects/status.ts';
import type { Entry } from './bucket.ts';
import { detailsOf } from './errors.ts';

/** Who asks, after authentication. */
export interface User {
  readonly name: string;
  readonly groups: readonly string[];
  readonly uid?: string;
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** A request whose sender is known. */
export interface Call extends ApiRequest {
  readonly user: User;
}

export interface ListMeta {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

export type Content =
  | { readonly type: 'object'; readonly row: KindRow; readonly entry: Entry }
  | { readonly type: 'list'; readonly row: KindRow; readonly entries: readonly Entry[]; readonly metadata: ListMeta }
  | { readonly type: 'value'; readonly value: unknown }
  | { readonly type: 'text'; readonly text: string; readonly mediaType: string }
  | { readonly type: 'bytes'; readonly bytes: Buffer; readonly mediaType: string };

export interface Answer {
  readonly status: number;
  readonly content: Content;
  /** Texts for `Warning: 299` headers. */
  readonly warnings?: readonly string[];
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
}

export function valueAnswer(value: unknown, status = 200): Answer {
  return { status, content: { type: 'value', value } };
}

export function objectAnswer(row: KindRow, entry: Entry, status = 200, warnings: readonly string[] = []): Answer {
  return { status, content: { type: 'object', row, entry }, warnings };
}

/** A Status that says that all went well, about an object that is no longer there to be shown. */
export function success(row: KindRow, name: string, uid: string | undefined, code = 200): Answer {
  const details = { ...detailsOf(row, name), ...(uid && { uid }) };
  return valueAnswer({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details, code }, code);
}

/** Any error as a Status; one that is not a StatusError is ours to mend, and the client learns no more than its message. */
export function statusOf(error: unknown): Status {
  if (error instanceof StatusError) return error.status;
  const message = `Internal error occurred: ${error instanceof Error ? error.message : error}`;
  const causes: StatusCause[] = [{ reason: 'InternalError', message }];
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: 'InternalError',
    details: { causes },
    code: 500,
  };
}

/** As a value: for clients in this process. Objects are the store's own. */
export function bodyOf(content: Content): unknown {
  switch (content.type) {
    case 'object':
      return content.entry.object;
    case 'list': {
      const { row, entries, metadata } = content;
      const items = entries.map((entry) => entry.object);
      return { kind: `${row.apiKind}List`, apiVersion: apiVersionOf(row), metadata, items };
    }
    case 'value':
      return content.value;
    case 'text':
      return content.mediaType.startsWith('application/json') ? JSON.parse(content.text) : content.text;
    case 'bytes':
      return content.bytes;
  }
}

/** As JSON text: for clients elsewhere. Made of the texts that the store holds. */
export function jsonOf(content: Content): string {
  switch (content.type) {
    case 'object':
      return content.entry.json;
    case 'list': {
      const { row, entries, metadata } = content;
      const head = JSON.stringify({ kind: `${row.apiKind}List`, apiVersion: apiVersionOf(row), metadata });
      return `${head.slice(0, -1)},"items":[${entries.map((entry) => entry.json).join(',')}]}`;
    }
    case 'value':
      return JSON.stringify(content.value);
    case 'text':
      return content.mediaType.startsWith('application/json') ? content.text : JSON.stringify(content.text);
    case 'bytes':
      return JSON.stringify(content.bytes.toString('base64')); // as Kubernetes writes bytes in JSON
  }
}
