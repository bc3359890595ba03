// Room client: typed requests against the Kubernetes API, over any Transport.
import { apiVersionOf, kindRow, resourcePath } from '../objects/kinds.ts';
import { type Status, StatusError } from '../objects/status.ts';
import type { Draft, Kind, KindTypes } from '../objects/types.ts';
import { VIEW_HEADER } from '../objects/views.ts';
import type { ApiRequest, Transport, WatchEvent, WatchStream } from './transport.ts';

export interface ListOptions {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  limit?: number;
  continue?: string;
  resourceVersion?: string;
  /** Name of a view (objects/views.ts): what is wanted of the objects. A hint: whoever asks must bear with whole ones. */
  view?: string;
}

export interface WatchOptions extends Omit<ListOptions, 'limit' | 'continue'> {
  allowWatchBookmarks?: boolean;
  sendInitialEvents?: boolean;
  timeoutSeconds?: number;
}

export interface List<T> {
  items: T[];
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
}

export interface DeleteOptions {
  gracePeriodSeconds?: number;
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  preconditions?: { uid?: string; resourceVersion?: string };
}

export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

const PATCH_CONTENT_TYPES: Record<PatchType, string> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

/** Every method throws a StatusError when the server refuses, and the transport's own error when it cannot be reached. */
export class Client {
  readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  get<K extends Kind>(kind: K, name: string, namespace?: string): Promise<KindTypes[K]> {
    return this.#call({ method: 'GET', path: resourcePath(kindRow(kind), namespace, name) });
  }

  list<K extends Kind>(kind: K, options: ListOptions = {}): Promise<List<KindTypes[K]>> {
    const path = resourcePath(kindRow(kind), options.namespace);
    return this.#call({ method: 'GET', path, query: queryOf(options), ...headersOf(options) });
  }

  create<K extends Kind>(
    kind: K,
    object: Draft<KindTypes[K]>,
    subresource?: { name: string; subresource: string },
  ): Promise<KindTypes[K]> {
    const row = kindRow(kind);
    const path = resourcePath(row, object.metadata.namespace, subresource?.name, subresource?.subresource);
    return this.#call({ method: 'POST', path, body: { apiVersion: apiVersionOf(row), kind: row.apiKind, ...object } });
  }

  /** PUT: the resourceVersion in the object guards against lost updates (409 Conflict). */
  update<K extends Kind>(kind: K, object: KindTypes[K], subresource?: string): Promise<KindTypes[K]> {
    const { namespace, name } = object.metadata;
    return this.#call({ method: 'PUT', path: resourcePath(kindRow(kind), namespace, name, subresource), body: object });
  }

  patch<K extends Kind>(
    kind: K,
    target: { name: string; namespace?: string | undefined; subresource?: string },
    patch: unknown,
    type: PatchType = 'merge',
  ): Promise<KindTypes[K]> {
    return this.#call({
      method: 'PATCH',
      path: resourcePath(kindRow(kind), target.namespace, target.name, target.subresource),
      headers: { 'content-type': PATCH_CONTENT_TYPES[type] },
      body: patch,
    });
  }

  delete(kind: Kind, name: string, namespace?: string, options: DeleteOptions = {}): Promise<unknown> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...options };
    return this.#call({ method: 'DELETE', path: resourcePath(kindRow(kind), namespace, name), body });
  }

  watch(kind: Kind, options: WatchOptions, onEvent: (event: WatchEvent) => void): WatchStream {
    const initial = options.sendInitialEvents && { resourceVersionMatch: 'NotOlderThan' }; // the API insists on it
    const query = { ...queryOf(options), ...initial, watch: 'true' };
    const path = resourcePath(kindRow(kind), options.namespace);
    return this.transport.watch({ method: 'GET', path, query, ...headersOf(options) }, onEvent);
  }

  async #call<T>(request: ApiRequest): Promise<T> {
    const response = await this.transport.request(request);
    if (response.status >= 400) throw new StatusError(response.body as Status);
    return response.body as T;
  }
}

function queryOf(options: object): Record<string, string> {
  const query: Record<string, string> = {};
  for (const [name, value] of Object.entries(options)) {
    if (name !== 'namespace' && name !== 'view' && value !== undefined) query[name] = String(value);
  }
  return query;
}

function headersOf({ view }: ListOptions): Pick<ApiRequest, 'headers'> {
  return view === undefined ? {} : { headers: { [VIEW_HEADER]: view } };
}
