// Room node: Services on one node: watched objects to plans, plans to the reconciler, and connection tracking told of what is stale.

import type { Informer } from '../cache/informer.ts';
import { createInformers } from '../cache/informers.ts';
import type { Client } from '../client/client.ts';
import type { ConntrackFilter, Kernel } from '../kernel/kernel.ts';
import { type EndpointSlice, type Node, objectKey, type Service, type ServiceCIDR } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import { frontendsOf, portsWithoutLocal, type TrafficPolicy } from '../plan/frontends.ts';
import { masqueradeFragmentKey, planMasqueradeBase, planNodeAddresses } from '../plan/masquerade.ts';
import type { Fragment } from '../plan/plan.ts';
import { planProxyBase } from '../plan/proxy-base.ts';
import { planChains, uncommonCount } from '../plan/proxy-chains.ts';
import { localReadyCount } from '../plan/service-endpoints.ts';
import { planService, serviceFragmentKey } from '../plan/services.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import type { NodeOptions } from './agent.ts';
import { HealthChecks } from './health-checks.ts';
import { KnownFacts } from './known-facts.ts';
import { serveProxy } from './proxy-server.ts';
import { ProxyStats } from './proxy-stats.ts';
import type { SocketServices } from './socket-services.ts';
import { staleFlows } from './stale-flows.ts';

/** What the proxy watches. EndpointSlices need the index `service` (namespace/name of their Service). */
export interface ProxyInformers {
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
  readonly nodes: Informer<Node>;
  /** Not waited for: other API servers may not have them. */
  readonly serviceCIDRs?: Informer<ServiceCIDR>;
}

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

const SERVICE_OF_SLICE = 'kubernetes.io/service-name';
/** Items in one transaction, after which no further Service goes in: a small change must not wait for a whole cluster's first load. */
const MANY_ITEMS = 5000;
/** How often addresses of interfaces are looked at, where NodePorts are open at some of them. */
const LOOK_MS = 2000;
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

export function startProxy(options: ProxyOptions): RunningProxy {
  return new ServiceProxy(options);
}

class ServiceProxy implements RunningProxy {
  readonly ready: Promise<void>;
  readonly #options: ProxyOptions;
  readonly #informers: ProxyInformers;
  readonly #log;
  readonly #stops: (() => void)[] = [];
  /** Keys of Services and names of nodes that changed since the last plan. */
  readonly #services = new Set<string>();
  readonly #nodes = new Set<string>();
  /** EndpointSlices that changed since the last plan: when that was asked for, in milliseconds since 1970. */
  readonly #triggers: number[] = [];
  readonly #stats = new ProxyStats();
  readonly #healthChecks: HealthChecks;
  #pendingEndpoints = 0;
  /** Of any one port so far, where it is more than the base has chains for. */
  #mostEndpoints = 0;
  #chainsFor = 0;
  readonly #known: KnownFacts;
  #baseStale = true;
  #scheduled = false;
  #closed = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#log = logger('proxy', { node: options.options.nodeName });
    const own = options.informers ? undefined : ownInformers(options.client);
    this.#informers = options.informers ?? own!;
    this.#known = new KnownFacts(options.options, this.#informers.serviceCIDRs);
    const { nodePortIPs, nodeIPs } = this.#known.current;
    this.#healthChecks = new HealthChecks(nodePortIPs ?? nodeIPs);
    this.#stops.push(() => this.#healthChecks.close());
    if (options.metricsPort !== undefined) this.#serveMetrics(options.metricsPort);
    if (nodePortIPs) this.#watchAddresses();
    if (own) this.#stops.push(() => own.close());
    this.#watch();
    const { services, slices, nodes } = this.#informers;
    // Until all are there a Service would look as if it had no endpoints, and live traffic would be refused.
    this.ready = Promise.all([services.synced, slices.synced, nodes.synced]).then(() => this.#firstSync());
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
        this.#nodes.add(object.metadata.name);
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
    this.#learn(this.#informers.nodes.get(this.#options.options.nodeName));
    if (this.#baseStale || this.#services.size > 0) this.#schedule();
  }

  #serveMetrics(port: number): void {
    const { kernel, reconciler } = this.#options;
    const server = serveProxy(
      {
        kernel,
        plan: reconciler.plan,
        facts: () => this.#known.current,
        stats: this.#stats,
        pending: () => ({ services: this.#services.size, endpoints: this.#pendingEndpoints }),
        withoutLocal: () => this.#countWithoutLocal(),
        mode: this.#options.sockets ? 'ebpf' : 'nftables',
      },
      port,
    );
    this.#stops.push(() => server.close());
  }

  #countWithoutLocal(): Record<TrafficPolicy, number> {
    const counts = { internal: 0, external: 0 };
    const { services, slices } = this.#informers;
    for (const service of services.list()) {
      const { internalTrafficPolicy, externalTrafficPolicy } = service.spec;
      if (internalTrafficPolicy !== 'Local' && externalTrafficPolicy !== 'Local') continue;
      const own = slices.byIndex('service', objectKey(service));
      const { internal, external } = portsWithoutLocal(service, own, this.#known.current);
      counts.internal += internal;
      counts.external += external;
    }
    return counts;
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
    this.#services.add(key);
    this.#schedule();
  }

  /** Events of one tick make one transaction. */
  #schedule(): void {
    if (this.#scheduled || this.#closed || !this.#isSynced()) return;
    this.#scheduled = true;
    this.#stats.lastQueued = Date.now();
    setImmediate(() => this.#sync());
  }

  #isSynced(): boolean {
    const { services, slices, nodes } = this.#informers;
    return services.hasSynced && slices.hasSynced && nodes.hasSynced;
  }

  async #firstSync(): Promise<void> {
    this.#sync();
    while (this.#services.size > 0 && !this.#closed) await new Promise((resolve) => setImmediate(resolve));
  }

  #sync(): void {
    this.#scheduled = false;
    if (this.#closed) return;
    const begun = performance.now();
    // Apart from the Services: 100,000 elements take the kernel three times as long in the batch that makes their sets.
    this.#apply(this.#planNodes());
    const changes = new Map<string, Fragment | undefined>();
    const { plan } = this.#options.reconciler;
    const stale: ConntrackFilter[] = [];
    const changed: string[] = [];
    let items = 0;
    for (const key of this.#services) {
      if (items >= MANY_ITEMS) break;
      this.#services.delete(key);
      const fragmentKey = serviceFragmentKey(key);
      const before = plan.get(fragmentKey);
      const after = this.#planService(key, before);
      if (!before && !after) continue;
      changed.push(key);
      items += after?.items.length ?? 0;
      changes.set(fragmentKey, after);
      stale.push(...staleFlows(before, after));
      if (after) this.#mostEndpoints = Math.max(this.#mostEndpoints, uncommonCount(after));
      this.#checkHealth(key);
    }
    this.#addChains();
    this.#apply(changes);
    // After the rules: a flow that is cut earlier would be tracked anew by the old ones.
    if (stale.length > 0) this.#flush(stale);
    this.#tellSockets(changed);
    this.#countSync(begun);
    if (this.#services.size > 0) this.#schedule();
  }

  #addChains(): void {
    if (this.#mostEndpoints <= this.#chainsFor) return;
    const fragment = planChains(this.#known.current, this.#mostEndpoints);
    this.#chainsFor = uncommonCount(fragment);
    this.#apply(new Map([['proxy/chains', fragment]]));
  }

  /** After the rules too: what sockets do not know goes to them. */
  #tellSockets(keys: readonly string[]): void {
    const { sockets } = this.#options;
    if (!sockets) return;
    const { services, slices } = this.#informers;
    for (const key of keys) {
      const service = services.get(key);
      sockets.set(key, service ? frontendsOf(service, slices.byIndex('service', key), this.#known.current) : []);
    }
    if (this.#services.size === 0) sockets.attach();
  }

  #planNodes(): Map<string, Fragment | undefined> {
    const changes = new Map<string, Fragment | undefined>();
    const { nodeName } = this.#options.options;
    const { nodes } = this.#informers;
    for (const name of this.#nodes) {
      const node = nodes.get(name);
      changes.set(masqueradeFragmentKey(name), node && planNodeAddresses(node, this.#known.current));
      if (name === nodeName && node) this.#learn(node);
    }
    this.#nodes.clear();
    if (!this.#baseStale) return changes;
    this.#baseStale = false;
    changes.set('proxy/base', planProxyBase(this.#known.current));
    changes.set('masquerade/base', planMasqueradeBase(this.#known.current));
    return changes;
  }

  #learn(node: Node | undefined): void {
    const { base, services } = this.#known.look(node);
    if (services) for (const service of this.#informers.services.list()) this.#services.add(objectKey(service));
    this.#baseStale ||= base;
  }

  #planService(key: string, before: Fragment | undefined): Fragment | undefined {
    const service = this.#informers.services.get(key);
    if (!service) return undefined;
    return planService(service, this.#informers.slices.byIndex('service', key), this.#known.current, before);
  }

  #checkHealth(key: string): void {
    const service = this.#informers.services.get(key);
    const { type, externalTrafficPolicy, healthCheckNodePort: port } = service?.spec ?? {};
    const wanted = service && port && type === 'LoadBalancer' && externalTrafficPolicy === 'Local';
    if (!wanted) {
      this.#healthChecks.set(key, undefined);
      return;
    }
    const { namespace = 'default', name } = service.metadata;
    const slices = this.#informers.slices.byIndex('service', key);
    const localEndpoints = localReadyCount(slices, this.#known.current.nodeName);
    this.#healthChecks.set(key, { namespace, name, port, localEndpoints });
  }

  #countSync(begun: number): void {
    const stats = this.#stats;
    stats.sync.observe((performance.now() - begun) / 1000);
    stats.lastSync = Date.now();
    for (const trigger of this.#triggers) stats.programming.observe(Math.max(0, stats.lastSync - trigger) / 1000);
    this.#triggers.length = 0;
    this.#pendingEndpoints = 0;
  }

  #apply(changes: ReadonlyMap<string, Fragment | undefined>): void {
    if (changes.size > 0) this.#update(changes);
  }

  #update(changes: ReadonlyMap<string, Fragment | undefined>): void {
    try {
      this.#options.reconciler.update(changes);
    } catch (error) {
      this.#stats.failures++;
      this.#log.error({ err: error }, 'Services could not be set up; trying again');
      this.#retry ??= setTimeout(() => this.#tryAgain(), 1000);
    }
  }

  /** The reconciler knows what it owes: an update of nothing makes it try. */
  #tryAgain(): void {
    this.#retry = undefined;
    if (!this.#closed) this.#update(new Map());
  }

  #flush(filters: readonly ConntrackFilter[]): void {
    try {
      const count = this.#options.kernel.flushConntrack(filters);
      this.#stats.conntrackDeleted += count;
      if (count > 0) this.#log.debug({ count }, 'removed UDP flows to endpoints that are gone');
    } catch (error) {
      this.#log.error({ err: error }, 'stale UDP flows could not be removed');
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const stop of this.#stops) stop();
  }
}

function ownInformers(client: Client): ProxyInformers & { close(): void } {
  const informers = createInformers(client);
  return {
    services: informers.of('Service'),
    slices: informers.of('EndpointSlice'),
    nodes: informers.of('Node'),
    close: () => informers.close(),
  };
}

function serviceOf(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.[SERVICE_OF_SLICE];
  return name && `${slice.metadata.namespace}/${name}`;
}
