// Room api: one request after authentication, whatever it came over: route, verb, answer.
import type { ApiRequest, ApiResponse, Transport, WatchEvent, WatchStream } from '../client/transport.ts';
import { apiVersionOf } from '../objects/kinds.ts';
import { failure, type StatusError } from '../objects/status.ts';
import type { Admission } from './admit.ts';
import { type Answer, bodyOf, type Call, objectAnswer, statusOf, type User, valueAnswer } from './answer.ts';
import { create } from './create.ts';
import { remove, removeCollection } from './delete.ts';
import { methodNotAllowed, noSuchPath, resourceOf } from './errors.ts';
import { parseRoute, type ResourceRoute } from './path.ts';
import { bind, evict } from './pod-subresources.ts';
import { get, list, planWatch, type WatchPlan } from './read.ts';
import { getScale, writeScale } from './scale.ts';
import { answerSpecial, routeOf } from './special.ts';
import type { Store } from './store.ts';
import type { ServiceAccountTokens } from './token.ts';
import { patch, update } from './update.ts';
import { type Sink, Watcher, type WatchType } from './watch.ts';
import type { WriteContext, Written } from './write.ts';

/** All rights: for what runs in this process and is part of the cluster itself. */
export const SYSTEM_USER: User = { name: 'system:podwire', groups: ['system:masters', 'system:authenticated'] };

export class Handler implements WriteContext {
  readonly store: Store;
  readonly admission: Admission;
  readonly #tokens: ServiceAccountTokens;
  readonly #watchers = new Set<Watcher>();
  readonly #bookmarkTimer: NodeJS.Timeout;

  constructor(store: Store, admission: Admission, tokens: ServiceAccountTokens) {
    this.store = store;
    this.admission = admission;
    this.#tokens = tokens;
    this.#bookmarkTimer = setInterval(() => this.#bookmark(), 60_000).unref();
  }

  /** Never throws: a failure is an answer too. */
  async answer(call: Call): Promise<Answer> {
    try {
      const route = routeOf(call);
      if (route) return await this.#answerRoute(route, call);
      const answer = answerSpecial(call);
      if (answer) return answer;
      throw noSuchPath();
    } catch (error) {
      const status = statusOf(error);
      return valueAnswer(status, status.code);
    }
  }

  #answerRoute(route: ResourceRoute, call: Call): Promise<Answer> | Answer {
    if (route.subresource && route.subresource !== 'status') return this.#answerSubresource(route, call);
    switch (route.verb) {
      case 'get':
        return get(this.store, route);
      case 'list':
        return list(this.store, route, call.query ?? {}, call.headers);
      case 'create':
        if (route.name !== undefined) throw methodNotAllowed();
        return this.#create(route, call);
      case 'update':
        return this.#written(route, update(this, route, call));
      case 'patch':
        return this.#written(route, patch(this, route, call));
      case 'delete':
        if (route.subresource) throw methodNotAllowed();
        return remove(this, route, call);
      case 'deletecollection':
        return removeCollection(this, route, call);
      case 'watch':
        throw failure(400, 'BadRequest', 'a watch is answered as a stream');
    }
  }

  #create(route: ResourceRoute, call: Call): Promise<Answer> {
    const make = () => this.#written(route, create(this, route, call), 201);
    const wait = this.admission.before(route, call.body);
    return wait ? wait.then(make) : make();
  }

  async #written(route: ResourceRoute, { entry, warnings }: Written, status = 200): Promise<Answer> {
    await this.store.durable(entry.rev);
    return objectAnswer(route.row, entry, status, warnings);
  }

  #answerSubresource(route: ResourceRoute, call: Call): Promise<Answer> | Answer {
    const { verb, subresource } = route;
    if (subresource === 'scale' && verb === 'get') return objectAnswer(route.row, getScale(this, route));
    if (subresource === 'scale' && (verb === 'update' || verb === 'patch')) {
      return this.#written(route, { entry: writeScale(this, route, call), removed: false, warnings: [] });
    }
    if (subresource === 'finalize' && verb === 'update') return this.#written(route, update(this, route, call));
    if (verb === 'create') {
      if (subresource === 'binding') return bind(this, route, call);
      if (subresource === 'eviction') return evict(this, route, call);
      if (subresource === 'token') return this.#tokens.create(route, call);
    }
    throw methodNotAllowed();
  }

  isWatch(request: ApiRequest): boolean {
    return request.method === 'GET' && routeOf(request)?.verb === 'watch';
  }

  /** Begins a watch into `sink`; pump it when the sink became ready again. Throws before anything is sent. */
  watch(request: ApiRequest, sink: Sink): Watcher {
    const route = parseRoute(request);
    if (route?.verb !== 'watch') throw noSuchPath();
    const plan = planWatch(this.store, route, request.query ?? {}, request.headers);
    return this.#begin(route, plan, sink);
  }

  #begin({ row }: ResourceRoute, plan: WatchPlan, sink: Sink): Watcher {
    const { store } = this;
    const bucket = store.bucket(resourceOf(row));
    const source = { bucket, durableRev: store.durableRev, apiVersion: apiVersionOf(row), kind: row.apiKind };
    const timer =
      plan.timeoutSeconds > 0 ? setTimeout(() => endInTime(watcher), plan.timeoutSeconds * 1000) : undefined;
    timer?.unref();
    const watcher = new Watcher(source, plan.filter, plan.start, sink, () => {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    });
    this.#watchers.add(watcher);
    return watcher;
  }

  #bookmark(): void {
    for (const watcher of this.#watchers) watcher.bookmark();
  }

  /** Ends every watch cleanly: who watched comes back and resumes. */
  close(): void {
    clearInterval(this.#bookmarkTimer);
    for (const watcher of [...this.#watchers]) watcher.end();
  }
}

/** Before a watch ends it tells how far it came, so that the next one starts there. */
function endInTime(watcher: Watcher): void {
  watcher.bookmark();
  watcher.end();
}

/** The handler as a Transport, for clients in this thread. Their bodies are copied, since the server takes them over. */
export function directTransport(handler: Handler, user: User = SYSTEM_USER): Transport {
  return {
    async request(request: ApiRequest): Promise<ApiResponse> {
      const body = request.body === undefined ? undefined : JSON.parse(JSON.stringify(request.body));
      const { status, content } = await handler.answer({ ...request, body, user });
      return { status, body: bodyOf(content) };
    },
    watch: (request, onEvent) => directWatch(handler, request, onEvent),
    close() {},
  };
}

function directWatch(handler: Handler, request: ApiRequest, onEvent: (event: WatchEvent) => void): WatchStream {
  const done = Promise.withResolvers<void>();
  let watcher: Watcher | undefined;
  const sink: Sink = {
    ready: true,
    send(type: WatchType, entry) {
      try {
        onEvent({ type, object: entry.object });
      } catch (error) {
        watcher?.stop(); // one reader's mistake must not keep the others from their events
        done.reject(error);
      }
    },
    end: (error?: StatusError) => (error ? done.reject(error) : done.resolve()),
  };
  let stopped = false;
  queueMicrotask(() => {
    if (stopped) return;
    try {
      watcher = handler.watch(request, sink);
      watcher.pump();
    } catch (error) {
      watcher?.stop();
      done.reject(error);
    }
  });
  return {
    done: done.promise,
    stop() {
      stopped = true;
      watcher?.stop();
      done.resolve();
    },
  };
}
