// Room client: a Transport over a MessagePort: how a node's worker thread speaks to the API server on the main thread.
import type { MessagePort } from 'node:worker_threads';
import { type Status, StatusError } from '../objects/status.ts';
import type { ApiRequest, ApiResponse, Transport, WatchEvent, WatchStream } from './transport.ts';

/** Objects cross as JSON text: the sender has it at hand already, and the reader's own thread pays for the parsing. */
export type PortRequest =
  | { readonly id: number; readonly request: ApiRequest; readonly watch: boolean }
  /** Events up to the sequence number were taken in: more may be sent. */
  | { readonly id: number; readonly taken: number }
  | { readonly id: number; readonly stop: true };

export type PortReply =
  | { readonly id: number; readonly status: number; readonly json: string }
  | { readonly id: number; readonly sequence: number; readonly events: readonly [WatchEvent['type'], string][] }
  /** The watch is over; `error` is the JSON text of a Status. */
  | { readonly id: number; readonly error: string | undefined };

interface PortWatch {
  readonly onEvent: (event: WatchEvent) => void;
  readonly done: PromiseWithResolvers<void>;
}

export interface PortLine extends Transport {
  /** While held, nothing goes out and nothing comes in, as over a wire that is cut; what waits goes on its way afterwards. */
  hold(held: boolean): void;
}

class PortTransport implements PortLine {
  readonly #port: MessagePort;
  readonly #requests = new Map<number, PromiseWithResolvers<ApiResponse>>();
  readonly #watches = new Map<number, PortWatch>();
  #lastId = 0;
  #closed = false;
  /** What waits, in order; absent: nothing is held. */
  #held: (() => void)[] | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (reply: PortReply) => this.#pass(() => this.#onReply(reply)));
    port.on('close', () => this.#onClose());
  }

  request(request: ApiRequest): Promise<ApiResponse> {
    if (this.#closed) return Promise.reject(new Error('the port to the API server is closed'));
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<ApiResponse>();
    this.#requests.set(id, answer);
    this.#send({ id, request: withPlainBody(request), watch: false });
    return answer.promise;
  }

  watch(request: ApiRequest, onEvent: (event: WatchEvent) => void): WatchStream {
    const id = ++this.#lastId;
    const done = Promise.withResolvers<void>();
    if (this.#closed) done.reject(new Error('the port to the API server is closed'));
    else {
      this.#watches.set(id, { onEvent, done });
      this.#send({ id, request, watch: true });
    }
    return { done: done.promise, stop: () => this.#stop(id) };
  }

  #stop(id: number): void {
    const watch = this.#watches.get(id);
    if (!watch) return;
    this.#watches.delete(id);
    this.#send({ id, stop: true });
    watch.done.resolve();
  }

  #onReply(reply: PortReply): void {
    if ('status' in reply) {
      this.#requests.get(reply.id)?.resolve({ status: reply.status, body: JSON.parse(reply.json) });
      this.#requests.delete(reply.id);
    } else if ('events' in reply) {
      for (const [type, json] of reply.events) this.#watches.get(reply.id)?.onEvent({ type, object: JSON.parse(json) });
      if (this.#watches.has(reply.id)) this.#send({ id: reply.id, taken: reply.sequence });
    } else {
      const watch = this.#watches.get(reply.id);
      this.#watches.delete(reply.id);
      if (reply.error) watch?.done.reject(new StatusError(JSON.parse(reply.error) as Status));
      else watch?.done.resolve();
    }
  }

  #onClose(): void {
    this.#closed = true;
    for (const answer of this.#requests.values()) answer.reject(new Error('the port to the API server closed'));
    for (const watch of this.#watches.values()) watch.done.resolve();
    this.#requests.clear();
    this.#watches.clear();
    this.#held = undefined;
  }

  #send(message: PortRequest): void {
    this.#pass(() => this.#port.postMessage(message));
  }

  #pass(step: () => void): void {
    if (this.#held) this.#held.push(step);
    else step();
  }

  hold(held: boolean): void {
    if (held) {
      this.#held ??= [];
      return;
    }
    const waiting = this.#held ?? [];
    this.#held = undefined;
    for (const step of waiting) step();
  }

  close(): void {
    this.#port.close();
    this.#onClose();
  }
}

/** Structured clone refuses functions and keeps `undefined`; JSON is what the server is owed. */
function withPlainBody(request: ApiRequest): ApiRequest {
  return request.body === undefined ? request : { ...request, body: JSON.parse(JSON.stringify(request.body)) };
}

/** The other end of `port` was given to `ApiServer.servePort`. */
export function portTransport(port: MessagePort): PortLine {
  return new PortTransport(port);
}
