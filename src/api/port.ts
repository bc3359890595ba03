// Room api: serves a worker thread's requests and watches over a MessagePort (the other end is client/port.ts).
import type { MessagePort } from 'node:worker_threads';
import type { PortReply, PortRequest } from '../client/port.ts';
import type { ApiRequest } from '../client/transport.ts';
import type { StatusError } from '../objects/status.ts';
import { jsonOf, statusOf } from './answer.ts';
import { type Handler, SYSTEM_USER } from './handler.ts';
import type { Sink, Watcher, WatchType } from './watch.ts';

/** A worker may be this many full messages behind before it is sent no more: a port has no limit of its own. */
const MESSAGES_AHEAD = 64;
/** Events in one message. */
const EVENTS_PER_MESSAGE = 256;

class PortSink implements Sink {
  readonly #port: MessagePort;
  readonly #id: number;
  readonly #onEnd: () => void;
  #events: [WatchType, string][] = [];
  #sent = 0;
  #taken = 0;
  /** Whether the last message held all that it could. */
  #full = false;

  constructor(port: MessagePort, id: number, onEnd: () => void) {
    this.#port = port;
    this.#id = id;
    this.#onEnd = onEnd;
  }

  /**
   * A worker that is at the last message still has the next when it has done with it, with all that happened meanwhile: it wakes and
   * works once. One that is idle has every event at once.
   */
  get ready(): boolean {
    const ahead = this.#sent - this.#taken;
    return ahead === 0 || (this.#full && ahead < MESSAGES_AHEAD);
  }

  taken(sequence: number): void {
    this.#taken = sequence;
  }

  send(type: WatchType, entry: { readonly json: string }): void {
    this.#events.push([type, entry.json]);
    if (this.#events.length >= EVENTS_PER_MESSAGE) this.flush();
  }

  flush(): void {
    if (this.#events.length === 0) return;
    this.#full = this.#events.length >= EVENTS_PER_MESSAGE;
    this.#reply({ id: this.#id, sequence: ++this.#sent, events: this.#events });
    this.#events = [];
  }

  end(error?: StatusError): void {
    this.flush();
    this.#reply({ id: this.#id, error: error && JSON.stringify(error.status) });
    this.#onEnd();
  }

  #reply(reply: PortReply): void {
    this.#port.postMessage(reply);
  }
}

/** Until the port closes. */
export function servePort(handler: Handler, port: MessagePort): void {
  const watches = new Map<number, { watcher: Watcher; sink: PortSink }>();

  const request = async (id: number, apiRequest: ApiRequest) => {
    const { status, content } = await handler.answer({ ...apiRequest, user: SYSTEM_USER });
    port.postMessage({ id, status, json: jsonOf(content) } satisfies PortReply);
  };
  const watch = (id: number, apiRequest: ApiRequest) => {
    const sink = new PortSink(port, id, () => watches.delete(id));
    try {
      const watcher = handler.watch(apiRequest, sink);
      watches.set(id, { watcher, sink });
      watcher.pump();
    } catch (error) {
      port.postMessage({ id, error: JSON.stringify(statusOf(error)) } satisfies PortReply);
    }
  };

  port.on('message', (message: PortRequest) => {
    if ('request' in message) {
      if (message.watch) watch(message.id, message.request);
      else void request(message.id, message.request);
      return;
    }
    const found = watches.get(message.id);
    if ('taken' in message) {
      found?.sink.taken(message.taken);
      found?.watcher.pump();
    } else {
      found?.watcher.stop();
      watches.delete(message.id);
    }
  });
  port.on('close', () => {
    for (const { watcher } of watches.values()) watcher.stop();
    watches.clear();
  });
}
