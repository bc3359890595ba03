// Room cluster: what is changed of a running cluster: its overlay, its nodes, and what others change of its fabric.

import type { CIDR } from '../addr/prefix.ts';
import type { ApiServer } from '../api/server.ts';
import type { Informers } from '../cache/informers.ts';
import type { Client } from '../client/client.ts';
import { logger } from '../observe/log.ts';
import type { OverlaySettings } from '../plan/overlay/backend.ts';
import type { ClusterConfig } from './config.ts';
import type { FabricOptions } from './fabric.ts';
import { fabricOptions } from './fabric-options.ts';
import type { FabricWatch } from './fabric-watch.ts';
import type { MemberOptions, Members, MemberVerb } from './members.ts';
import type { NodeWorker } from './node-worker.ts';
import { storeConfig } from './slot.ts';

export interface LiveParts {
  readonly client: Client;
  readonly api: ApiServer;
  /** Changed in place. */
  readonly nodes: NodeWorker[];
  readonly informers: Informers;
}

/** One change at a time, each kept in the cluster's stored config when it is done. What a change needs is loaded for the first. */
export class LiveChanges {
  readonly #parts: LiveParts;
  #config: ClusterConfig;
  #last: Promise<unknown> = Promise.resolve();
  #members: Members | undefined;
  #watch: FabricWatch | undefined;
  #stopWays: (() => void) | undefined;
  #closed = false;

  constructor(config: ClusterConfig, parts: LiveParts) {
    this.#config = config;
    this.#parts = parts;
    // Not before others have had what they wait for.
    setImmediate(() => {
      void this.#inTurn(() => this.#watchFabric());
      void this.#watchWays();
    });
  }

  /** As it is now. */
  get config(): ClusterConfig {
    return this.#config;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return mine;
  }

  #keep(config: ClusterConfig): void {
    if (config !== this.#config) storeConfig(config);
    this.#config = config;
  }

  /** Resolves with what is then in force. Throws a Fault; then all is as before. */
  changeOverlay(wanted: OverlaySettings): Promise<OverlaySettings> {
    return this.#inTurn(async () => {
      const { changeOverlay, settleOverlay } = await import('./overlay.ts');
      const { network } = this.#config;
      const next = settleOverlay({ ...this.#config, network: { ...network, overlay: wanted } });
      await changeOverlay(this.#parts.nodes, network.overlay, next.network.overlay);
      this.#keep(next);
      return next.network.overlay;
    });
  }

  /** Resolves once it is done; `name` means nothing for `add`. Throws a Fault. */
  changeNodes(verb: MemberVerb, name: string, options: MemberOptions = {}): Promise<{ readonly node: string }> {
    return this.#inTurn(async () => {
      this.#members ??= new (await import('./members.ts')).Members(this.#parts);
      this.#watch?.close();
      try {
        this.#keep(await this.#members[verb](this.#config, name, options));
        return { node: verb === 'add' ? `node-${this.#config.nodes}` : name };
      } finally {
        await this.#watchFabric();
      }
    });
  }

  /** Of a node that is away on purpose: how, and what brings it back. */
  absence(node: string): string | undefined {
    return this.#members?.absence(this.#config, node);
  }

  async #watchWays(): Promise<void> {
    const { watchServiceWays } = await import('./service-ways.ts');
    const { informers } = this.#parts;
    const sources = { services: informers.of('Service'), serviceCIDRs: informers.of('ServiceCIDR') };
    const onChange = (prefixes: readonly CIDR[]) => void this.#inTurn(() => this.#changeWays(prefixes));
    if (!this.#closed) this.#stopWays = watchServiceWays({ ...sources, config: this.#config, onChange });
  }

  /** Of the machine and of the fabric's router to what nodes translate besides the cluster's own Services. */
  async #changeWays(furtherCIDRs: readonly CIDR[]): Promise<void> {
    if (this.#closed) return;
    const { ensureFabric } = await import('./fabric.ts');
    this.#watch?.close();
    try {
      const next = { ...this.#config, furtherCIDRs };
      ensureFabric(this.#fabric(next));
      this.#keep(next);
    } catch (error) {
      logger('fabric').error({ err: error, furtherCIDRs }, 'no way from this machine to further Services');
    } finally {
      await this.#watchFabric();
    }
  }

  #fabric(config: ClusterConfig): FabricOptions {
    const layouts = this.#parts.nodes.map((node) => node.layout);
    return this.#members?.fabric(config) ?? fabricOptions(config, layouts);
  }

  async #watchFabric(): Promise<void> {
    const { FabricWatch } = await import('./fabric-watch.ts');
    if (!this.#closed) this.#watch = new FabricWatch(this.#fabric(this.#config));
  }

  close(): void {
    this.#closed = true;
    this.#stopWays?.();
    this.#watch?.close();
  }
}
