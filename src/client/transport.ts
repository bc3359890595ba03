// Room client: how a request reaches an API server, whichever it is: over HTTPS, over a MessagePort from a node's
// worker thread, or by a direct call in the same thread. The embedded server (room api) takes and answers these shapes.

/** One request after TLS and before routing. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Absolute path without the query: `/api/v1/namespaces/default/pods`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Lower-case names; `content-type` tells the kind of a patch. */
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON value. */
  readonly body?: unknown;
}

export interface ApiResponse {
  readonly status: number;
  /** JSON value: an object, a list, or a Status. Never changed by who receives it: it may be the server's own copy. */
  readonly body: unknown;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: unknown;
}

export interface WatchStream {
  /** Settles when the stream is over: resolved on a clean end (timeout, server going away), rejected with a StatusError or a connection error. */
  readonly done: Promise<void>;
  stop(): void;
}

export interface Transport {
  request(request: ApiRequest): Promise<ApiResponse>;
  /** `request.query` holds `watch: 'true'`. Events arrive in order; none after stop(). */
  watch(request: ApiRequest, onEvent: (event: WatchEvent) => void): WatchStream;
  close(): void;
}
