// Room cluster: nodes that come, go, stop and are cut off while the cluster runs.
import { rmSync } from 'node:fs';
import type { ApiServer } from '../api/server.ts';
import type { Client } from '../client/client.ts';
import { isNotFound } from '../objects/status.ts';
import { Fault } from '../observe/fault.ts';
import { removeNodeRuntime } from '../runtime/remove.ts';
import { makeFolder } from '../sys/folder.ts';
import type { ClusterConfig } from './config.ts';
import { ensureFabric, type FabricOptions, removeFabricNode, setNodeLeg } from './fabric.ts';
import { fabricOptions } from './fabric-options.ts';
import { nameFlag } from './known.ts';
import { type NodeLayout, nodeLayout, nodeLayouts } from './layout.ts';
import { launchNodeWorker, type NodeWorker } from './node-worker.ts';
import { nodeDir } from './paths.ts';
import { markLost, untilNodeReady } from './readiness.ts';

export const MEMBER_VERBS = ['add', 'rm', 'stop', 'start', 'kill', 'isolate', 'heal'] as const;
export type MemberVerb = (typeof MEMBER_VERBS)[number];

/** Of kill(). */
export interface MemberOptions {
  readonly stay?: boolean;
}

export interface MembersParts {
  readonly client: Client;
  readonly api: ApiServer;
  /** Those that run or have run: changed in place. */
  readonly nodes: NodeWorker[];
}

/** Each returns the config as it is afterwards, and throws a Fault when there is no such node. */
export class Members {
  readonly #parts: MembersParts;
  readonly #stopped = new Set<string>();
  readonly #cutOff = new Set<string>();

  constructor(parts: MembersParts) {
    this.#parts = parts;
  }

  /** Of a node that somebody has taken away on purpose: how, and what brings it back. */
  absence({ name: cluster }: ClusterConfig, name: string): string | undefined {
    const back = (verb: MemberVerb) => `podwire node ${verb} ${name}${nameFlag(cluster)}`;
    if (!this.#stopped.has(name)) return this.#cutOff.has(name) ? `cut off: ${back('heal')}` : undefined;
    return `${this.#cutOff.has(name) ? 'stopped' : 'killed'}: ${back('start')}`;
  }

  /** As it is wanted at this moment. */
  fabric(config: ClusterConfig): FabricOptions {
    return fabricOptions(config, nodeLayouts(config), this.#cutOff);
  }

  /** The machine's way to the Services is over a node whose plug is in. */
  #setLeg(config: ClusterConfig, name: string, up: boolean): void {
    if (up) this.#cutOff.delete(name);
    else this.#cutOff.add(name);
    setNodeLeg(config.name, name, up);
    ensureFabric(this.fabric(config));
  }

  /** Resolves once the new node is Ready. */
  async add(config: ClusterConfig): Promise<ClusterConfig> {
    const next = { ...config, nodes: config.nodes + 1 };
    const layout = nodeLayout(next, config.nodes);
    makeFolder(nodeDir(config.name, layout.name), 0o700);
    ensureFabric(this.fabric(next));
    await this.#launch(next, layout);
    return next;
  }

  async #launch(config: ClusterConfig, layout: NodeLayout): Promise<void> {
    const worker = launchNodeWorker(config, layout);
    const at = this.#parts.nodes.findIndex((node) => node.layout.name === layout.name);
    if (at < 0) this.#parts.nodes.push(worker);
    else this.#parts.nodes[at] = worker;
    worker.start();
    worker.connect(this.#parts.api);
    await worker.ready;
  }

  /** With its pods, which controllers make anew elsewhere. Nothing of it stays. */
  async rm(config: ClusterConfig, name: string): Promise<ClusterConfig> {
    const worker = this.#find(config, name);
    if (nodeLayouts(config).length === 1)
      throw new Fault(`${name} is the cluster's last node`, {
        mend: `podwire down${nameFlag(config.name)}`,
      });
    const next = { ...config, removedNodes: [...(config.removedNodes ?? []), name] };
    await this.#halt(worker);
    this.#parts.nodes.splice(this.#parts.nodes.indexOf(worker), 1);
    await this.#forget(name);
    const stateDir = nodeDir(config.name, name);
    await removeNodeRuntime({ stateDir, clusterName: config.name, nodeNetns: `/run/netns/${worker.layout.netns}` });
    this.#cutOff.delete(name);
    ensureFabric(this.fabric(next));
    removeFabricNode(this.fabric(next), worker.layout);
    rmSync(stateDir, { recursive: true, force: true });
    return next;
  }

  /** The Node first: then nobody gets new pods there. */
  async #forget(name: string): Promise<void> {
    const { client } = this.#parts;
    await client.delete('Node', name).catch(unlessGone);
    const pods = await client.list('Pod', { fieldSelector: `spec.nodeName=${name}` });
    const now = { gracePeriodSeconds: 0 };
    const gone = pods.items.map(({ metadata }) => client.delete('Pod', metadata.name, metadata.namespace, now));
    await Promise.all(gone.map((each) => each.catch(unlessGone)));
  }

  async #halt(worker: NodeWorker): Promise<void> {
    if (!this.#stopped.has(worker.layout.name)) await worker.stop(true);
    this.#stopped.delete(worker.layout.name);
  }

  /** Its agent ends and its leg goes down; what runs there runs on, and nobody reaches it. */
  async stop(config: ClusterConfig, name: string): Promise<ClusterConfig> {
    await this.#halt(this.#find(config, name));
    this.#stopped.add(name);
    this.#setLeg(config, name, false);
    await markLost(this.#parts.client, name);
    return config;
  }

  /**
   * Its agent dies without a word; what runs there runs on, and is reached. It comes back after a moment; with `stay` not before
   * start().
   */
  async kill(config: ClusterConfig, name: string, { stay = false }: MemberOptions): Promise<ClusterConfig> {
    const worker = this.#find(config, name);
    if (this.#stopped.has(name)) {
      const mend = `podwire node start ${name}${nameFlag(config.name)}`;
      throw new Fault(`${name} has no agent: it is stopped`, { mend });
    }
    await worker.kill(stay);
    if (stay) this.#stopped.add(name);
    return config;
  }

  /** Resolves once it is Ready again. */
  async start(config: ClusterConfig, name: string): Promise<ClusterConfig> {
    const { layout } = this.#find(config, name);
    if (!this.#stopped.delete(name)) {
      const mend = `podwire node heal ${name}${nameFlag(config.name)}`;
      throw new Fault(`${name} is not stopped`, this.#cutOff.has(name) ? { mend } : {});
    }
    this.#setLeg(config, name, true);
    await this.#launch(config, layout);
    return config;
  }

  /** The wire is cut, the agent's way to the API too: it lives on with what it knows. */
  async isolate(config: ClusterConfig, name: string): Promise<ClusterConfig> {
    const worker = this.#find(config, name);
    this.#setLeg(config, name, false);
    if (this.#stopped.has(name)) return config;
    await worker.cutOff(true);
    await markLost(this.#parts.client, name);
    return config;
  }

  /** Resolves once it is Ready again. */
  async heal(config: ClusterConfig, name: string): Promise<ClusterConfig> {
    const worker = this.#find(config, name);
    if (this.#stopped.has(name)) {
      throw new Fault(`${name} is stopped`, { mend: `podwire node start ${name}${nameFlag(config.name)}` });
    }
    this.#setLeg(config, name, true);
    await worker.cutOff(false);
    await untilNodeReady(this.#parts.client, name);
    return config;
  }

  #find(config: ClusterConfig, name: string): NodeWorker {
    const found = this.#parts.nodes.find((node) => node.layout.name === name);
    if (found) return found;
    const names = this.#parts.nodes.map((node) => node.layout.name);
    throw new Fault(`cluster ${config.name} has no node "${name}"`, { mend: `its nodes are ${names.join(', ')}` });
  }
}

function unlessGone(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
