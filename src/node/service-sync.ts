// Room node: Services into the kernel of one node, piece by piece: plans, transactions, UDP flows that are stale then, and word to sockets and health checks.
import type { ConntrackFilter, Kernel } from '../kernel/kernel.ts';
import { type Node, objectKey } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import { frontendsOf, portsWithoutLocal, type TrafficPolicy } from '../plan/frontends.ts';
import { masqueradeFragmentKey, planMasqueradeBase, planNodeAddresses } from '../plan/masquerade.ts';
import type { Fragment } from '../plan/plan.ts';
import { planProxyBase } from '../plan/proxy-base.ts';
import { planChains, uncommonCount } from '../plan/proxy-chains.ts';
import type { NodeFacts } from '../plan/proxy-names.ts';
import { localReadyCount } from '../plan/service-endpoints.ts';
import { planService, serviceFragmentKey } from '../plan/services.ts';
import type { Reconciler } from '../reconcile/reconciler.ts';
import type { NodeOptions } from './agent.ts';
import { HealthChecks } from './health-checks.ts';
import { KnownFacts } from './known-facts.ts';
import type { ProxyInformers } from './proxy-informers.ts';
import type { ProxyStats } from './proxy-stats.ts';
import type { SocketServices } from './socket-services.ts';
import { staleFlows } from './stale-flows.ts';

export interface ServiceSyncParts {
  readonly options: NodeOptions;
  readonly informers: ProxyInformers;
  readonly reconciler: Reconciler;
  readonly kernel: Pick<Kernel, 'flushConntrack'>;
  readonly stats: ProxyStats;
  /** Proxy mode ebpf: where pods' sockets find Services. */
  readonly sockets?: SocketServices | undefined;
}

/** Items in one transaction, after which no further Service goes in: a small change must not wait for a whole cluster's first load. */
const MANY_ITEMS = 5000;
const RETRY_MS = 1000;

export class ServiceSync {
  readonly #parts: ServiceSyncParts;
  readonly #log;
  /** Keys of Services and names of nodes that changed since the last plan. */
  readonly #services = new Set<string>();
  readonly #nodes = new Set<string>();
  readonly #known: KnownFacts;
  readonly #healthChecks: HealthChecks;
  /** Of any one port so far, where it is more than the base has chains for. */
  #mostEndpoints = 0;
  #chainsFor = 0;
  #baseStale = true;
  #closed = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(parts: ServiceSyncParts) {
    this.#parts = parts;
    this.#log = logger('proxy', { node: parts.options.nodeName });
    this.#known = new KnownFacts(parts.options, parts.informers.serviceCIDRs);
    const { nodePortIPs, nodeIPs } = this.#known.current;
    this.#healthChecks = new HealthChecks(nodePortIPs ?? nodeIPs);
  }

  get facts(): NodeFacts {
    return this.#known.current;
  }

  /** Services that are due. */
  get pending(): number {
    return this.#services.size;
  }

  get isDue(): boolean {
    return this.#baseStale || this.#services.size > 0;
  }

  touchService(key: string): void {
    this.#services.add(key);
  }

  touchNode(name: string): void {
    this.#nodes.add(name);
  }

  /** What of the node is other than it was: addresses of its interfaces, ranges of Services. */
  look(): void {
    this.#learn(this.#parts.informers.nodes.get(this.#parts.options.nodeName));
  }

  #learn(node: Node | undefined): void {
    const { base, services } = this.#known.look(node);
    if (services) for (const service of this.#parts.informers.services.list()) this.#services.add(objectKey(service));
    this.#baseStale ||= base;
  }

  /** Ports of Services whose policy of Local leaves this node without an endpoint. */
  countWithoutLocal(): Record<TrafficPolicy, number> {
    const counts = { internal: 0, external: 0 };
    const { services, slices } = this.#parts.informers;
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

  /** One piece of what is due; more may be left. */
  run(): void {
    // Apart from the Services: 100,000 elements take the kernel three times as long in the batch that makes their sets.
    this.#apply(this.#planNodes());
    const changes = new Map<string, Fragment | undefined>();
    const { plan } = this.#parts.reconciler;
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
  }

  #planNodes(): Map<string, Fragment | undefined> {
    const changes = new Map<string, Fragment | undefined>();
    const { nodeName } = this.#parts.options;
    const { nodes } = this.#parts.informers;
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

  #planService(key: string, before: Fragment | undefined): Fragment | undefined {
    const { services, slices } = this.#parts.informers;
    const service = services.get(key);
    return service && planService(service, slices.byIndex('service', key), this.#known.current, before);
  }

  #addChains(): void {
    if (this.#mostEndpoints <= this.#chainsFor) return;
    const fragment = planChains(this.#known.current, this.#mostEndpoints);
    this.#chainsFor = uncommonCount(fragment);
    this.#apply(new Map([['proxy/chains', fragment]]));
  }

  #checkHealth(key: string): void {
    const { services, slices } = this.#parts.informers;
    const service = services.get(key);
    const { type, externalTrafficPolicy, healthCheckNodePort: port } = service?.spec ?? {};
    const wanted = service && port && type === 'LoadBalancer' && externalTrafficPolicy === 'Local';
    if (!wanted) {
      this.#healthChecks.set(key, undefined);
      return;
    }
    const { namespace = 'default', name } = service.metadata;
    const localEndpoints = localReadyCount(slices.byIndex('service', key), this.#known.current.nodeName);
    this.#healthChecks.set(key, { namespace, name, port, localEndpoints });
  }

  /** After the rules too: what sockets do not know goes to them. */
  #tellSockets(keys: readonly string[]): void {
    const { sockets, informers } = this.#parts;
    if (!sockets) return;
    const { services, slices } = informers;
    for (const key of keys) {
      const service = services.get(key);
      sockets.set(key, service ? frontendsOf(service, slices.byIndex('service', key), this.#known.current) : []);
    }
    if (this.#services.size === 0) sockets.attach();
  }

  #apply(changes: ReadonlyMap<string, Fragment | undefined>): void {
    if (changes.size > 0) this.#update(changes);
  }

  #update(changes: ReadonlyMap<string, Fragment | undefined>): void {
    try {
      this.#parts.reconciler.update(changes);
    } catch (error) {
      this.#parts.stats.failures++;
      this.#log.error({ err: error }, 'Services could not be set up; trying again');
      this.#retry ??= setTimeout(() => this.#tryAgain(), RETRY_MS);
    }
  }

  /** The reconciler knows what it owes: an update of nothing makes it try. */
  #tryAgain(): void {
    this.#retry = undefined;
    if (!this.#closed) this.#update(new Map());
  }

  #flush(filters: readonly ConntrackFilter[]): void {
    try {
      const count = this.#parts.kernel.flushConntrack(filters);
      this.#parts.stats.conntrackDeleted += count;
      if (count > 0) this.#log.debug({ count }, 'removed UDP flows to endpoints that are gone');
    } catch (error) {
      this.#log.error({ err: error }, 'stale UDP flows could not be removed');
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#healthChecks.close();
  }
}
