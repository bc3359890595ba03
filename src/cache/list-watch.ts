// Room cache: the loop behind an informer: list, then watch from there, resume when the stream ends, list again when it cannot.
import type { Client } from '../client/client.ts';
import type { WatchEvent, WatchStream } from '../client/transport.ts';
import { isExpired } from '../objects/status.ts';
import type { Kind, KubeObject } from '../objects/types.ts';
import { logger } from '../observe/log.ts';

export interface ListWatchTarget {
  readonly kind: Kind;
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly view?: string | undefined;
}

export interface ListWatchHandler {
  /** All objects there are. */
  replace(objects: readonly KubeObject[]): void;
  changed(object: KubeObject): void;
  deleted(object: KubeObject): void;
}

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 5_000;
/** A watch is renewed after this long (and up to twice as long), so that a dead connection is noticed. */
const WATCH_SECONDS = 300;

export class ListWatch {
  readonly #client: Client;
  readonly #target: ListWatchTarget;
  readonly #handler: ListWatchHandler;
  readonly #closing = Promise.withResolvers<void>();
  #resourceVersion: string | undefined;
  #stream: WatchStream | undefined;
  #failures = 0;
  #closed = false;

  constructor(client: Client, target: ListWatchTarget, handler: ListWatchHandler) {
    this.#client = client;
    this.#target = target;
    this.#handler = handler;
    void this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        if (this.#resourceVersion === undefined) await this.#list();
        if (this.#closed) return;
        const began = this.#resourceVersion;
        await this.#watch();
        if (this.#resourceVersion !== began) this.#failures = 0;
        else if (!this.#closed) await this.#pause(); // a server that ends watches at once must not be asked in a tight loop
      } catch (error) {
        if (this.#closed) return;
        if (isExpired(error)) this.#resourceVersion = undefined;
        else logger('cache').debug({ kind: this.#target.kind, err: error }, 'watch lost');
        await this.#pause();
      }
    }
  }

  async #list(): Promise<void> {
    const { kind, ...options } = this.#target;
    const list = await this.#client.list(kind, defined(options));
    if (this.#closed) return;
    this.#handler.replace(list.items as KubeObject[]);
    this.#resourceVersion = list.metadata.resourceVersion;
  }

  async #watch(): Promise<void> {
    const { kind, ...options } = this.#target;
    const watch = {
      ...defined(options),
      resourceVersion: this.#resourceVersion!,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.round(WATCH_SECONDS * (1 + Math.random())),
    };
    this.#stream = this.#client.watch(kind, watch, (event) => this.#onEvent(event));
    await Promise.race([this.#stream.done, this.#closing.promise]);
  }

  #onEvent(event: WatchEvent): void {
    if (this.#closed) return;
    const object = event.object as KubeObject;
    if (event.type === 'ADDED' || event.type === 'MODIFIED') this.#handler.changed(object);
    else if (event.type === 'DELETED') this.#handler.deleted(object);
    this.#resourceVersion = object.metadata.resourceVersion;
    this.#failures = 0;
  }

  /** The first retry comes at once; then longer and longer, spread out so that many informers do not come back together. */
  async #pause(): Promise<void> {
    const failures = this.#failures++;
    const longest = failures === 0 ? 0 : Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures, 16));
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, longest * (0.5 + Math.random() / 2));
    await Promise.race([promise, this.#closing.promise]);
    clearTimeout(timer);
  }

  close(): void {
    this.#closed = true;
    this.#closing.resolve();
    this.#stream?.done.catch(() => {});
    this.#stream?.stop();
  }
}

function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
