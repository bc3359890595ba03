// Room node: Services on one node: hears of watched objects, gathers what changes together, and counts how fast it is.
import type { Client } from '../client/client.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type EndpointSlice, objectKey } from '../objects/types.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import type { NodeOptions } from './agent.ts';
import { ownInformers, type ProxyInformers, serviceOf } from './proxy-informers.ts';
import { serveProxy } from './proxy-server.ts';
import { ProxyStats } from './proxy-stats.ts';
import { ServiceSync } from './service-sync.ts';
import type { SocketServices } from './socket-services.ts';

export interface ProxyOptions {
  readonly client: Client;
  readonly reconciler: Reconciler;
  readonly kernel: Pick<Kernel, 'flushConntrack' | 'nftCounts'>;
  readonly options: NodeOptions;
  /** Port on 127.0.0.1 of the metrics; absent: none. */
  readonly metricsPort?: number;
  /** Shared ones; absent: the proxy's own. */
  readonly informers?: ProxyInformers;
  /** Proxy mode ebpf: where pods' sockets find Services. */
  readonly sockets?: SocketServices;
}

export interface RunningProxy {
  /** Resolves once the first whole plan is with the reconciler. */
  readonly ready: Promise<void>;
  close(): void;
}

/** How often addresses of interfaces are looked at, where NodePorts are open at some of them. */
const LOOK_MS = 2000;
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

export function startProxy(options: ProxyOptions): RunningProxy {
  return new ServiceProxy(options);
}

class ServiceProxy implements RunningProxy {
  readonly ready: Promise<void>;
  readonly #informers: ProxyInformers;
  readonly #sync: ServiceSync;
  readonly #stats = new ProxyStats();
  readonly #stops: (() => void)[] = [];
  /** EndpointSlices that changed since the last plan: when that was asked for, in milliseconds since 1970. */
  readonly #triggers: number[] = [];
  #pendingEndpoints = 0;
  #scheduled = false;
  #closed = false;

  constructor(options: ProxyOptions) {
    const { client, reconciler, kernel, sockets } = options;
    const own = options.informers ? undefined : ownInformers(client);
    const informers = options.informers ?? own!;
    this.#informers = informers;
    this.#sync = new ServiceSync({
      options: options.options,
      informers,
      reconciler,
      kernel,
      stats: this.#stats,
      sockets,
    });
    this.#stops.push(() => this.#sync.close());
    if (options.metricsPort !== undefined) this.#serveMetrics(options, options.metricsPort);
    if (this.#sync.facts.nodePortIPs) this.#watchAddresses();
    if (own) this.#stops.push(() => own.close());
    this.#watch();
    const { services, slices, nodes } = informers;
    // Until all are there a Service would look as if it had no endpoints, and live traffic would be refused.
    this.ready = Promise.all([services.synced, slices.synced, nodes.synced]).then(() => this.#firstRun());
  }

  #watch(): void {
    const { services, slices, nodes, serviceCIDRs } = this.#informers;
    this.#stops.push(
      serviceCIDRs?.onChange(() => this.#look()) ?? (() => {}),
      services.onChange(({ object }) => {
        this.#stats.serviceChanges++;
        this.#touch(objectKey(object));
      }),
      slices.onChange((change) => {
        this.#countEndpointChange(change.object);
        this.#touch(serviceOf(change.object));
        if (change.type === 'update') this.#touch(serviceOf(change.old));
      }),
      nodes.onChange(({ object }) => {
        this.#sync.touchNode(object.metadata.name);
        this.#schedule();
      }),
    );
  }

  /** Of the node's interfaces nobody tells us. */
  #watchAddresses(): void {
    const looking = setInterval(() => this.#look(), LOOK_MS).unref();
    this.#stops.push(() => clearInterval(looking));
  }

  #look(): void {
    this.#sync.look();
    if (this.#sync.isDue) this.#schedule();
  }

  #serveMetrics({ kernel, reconciler, sockets }: ProxyOptions, port: number): void {
    const server = serveProxy(
      {
        kernel,
        plan: reconciler.plan,
        facts: () => this.#sync.facts,
        stats: this.#stats,
        pending: () => ({ services: this.#sync.pending, endpoints: this.#pendingEndpoints }),
        withoutLocal: () => this.#sync.countWithoutLocal(),
        mode: sockets ? 'ebpf' : 'nftables',
      },
      port,
    );
    this.#stops.push(() => server.close());
  }

  #countEndpointChange({ metadata }: EndpointSlice): void {
    this.#stats.endpointChanges++;
    this.#pendingEndpoints++;
    // What was there before the proxy began tells nothing of its speed.
    const trigger = this.#isSynced() ? metadata.annotations?.[TRIGGER_TIME] : undefined;
    if (trigger !== undefined) this.#triggers.push(Date.parse(trigger));
  }

  #touch(key: string | undefined): void {
    if (key === undefined) return;
    this.#sync.touchService(key);
    this.#schedule();
  }

  /** Events of one tick make one transaction. */
  #schedule(): void {
    if (this.#scheduled || this.#closed || !this.#isSynced()) return;
    this.#scheduled = true;
    this.#stats.lastQueued = Date.now();
    setImmediate(() => this.#run());
  }

  #isSynced(): boolean {
    const { services, slices, nodes } = this.#informers;
    return services.hasSynced && slices.hasSynced && nodes.hasSynced;
  }

  async #firstRun(): Promise<void> {
    this.#run();
    while (this.#sync.pending > 0 && !this.#closed) await new Promise((resolve) => setImmediate(resolve));
  }

  #run(): void {
    this.#scheduled = false;
    if (this.#closed) return;
    const begun = performance.now();
    this.#sync.run();
    this.#count(begun);
    if (this.#sync.pending > 0) this.#schedule();
  }

  #count(begun: number): void {
    const stats = this.#stats;
    stats.sync.observe((performance.now() - begun) / 1000);
    stats.lastSync = Date.now();
    for (const trigger of this.#triggers) stats.programming.observe(Math.max(0, stats.lastSync - trigger) / 1000);
    this.#triggers.length = 0;
    this.#pendingEndpoints = 0;
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stops) stop();
  }
}
