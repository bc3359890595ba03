// Room node: keeps the Node object and its Lease: registered, truthful, renewed.

import type { Informer } from '../cache/informer.ts';
import type { Client } from '../client/client.ts';
import { isAlreadyExists, isNotFound } from '../objects/status.ts';
import { timestamp } from '../objects/time.ts';
import type { Lease, Node } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { ImageStore } from '../runtime/runtime.ts';
import type { NodeOptions } from './agent.ts';
import { goArchitecture, type NodeStatus, nodeStatus } from './node-status.ts';
import { statusChange } from './pod-status.ts';

const log = logger('node');
const RENEW_MS = 10_000;
const HEARTBEAT_MS = 300_000;
const RETRY_MS = 1000;
const LEASE_SECONDS = 40;
const LEASE_NAMESPACE = 'kube-node-lease';

export interface NodeObjectOptions {
  readonly client: Client;
  readonly options: NodeOptions;
  readonly nodes: Informer<Node>;
  readonly images: ImageStore;
  readonly capacity: Readonly<Record<string, string>>;
  readonly nodeInfo: NonNullable<NodeStatus['nodeInfo']>;
  /** Parts that must be in force before the node is Ready. */
  readonly parts: readonly string[];
}

export class NodeObject {
  readonly #given: NodeObjectOptions;
  readonly #waitingFor: Set<string>;
  #node: Node | undefined;
  #writing = false;
  #again = false;
  #renewing = false;
  /** The last change that the server took, as long as it has said nothing newer: what it made of it is its own affair. */
  #taken: string | undefined;
  #closed = false;
  readonly #begun = Date.now();
  #heartbeat = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #stop: (() => void) | undefined;
  readonly #ready = Promise.withResolvers<void>();

  constructor(given: NodeObjectOptions) {
    this.#given = given;
    this.#waitingFor = new Set(given.parts);
  }

  /** Settles when the API server has been told that the node is Ready. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** As the Node object has them once there are some. */
  get podCIDRs(): Promise<readonly string[]> {
    return new Promise((resolve) => {
      const stop = this.#given.nodes.onChange(({ type, object }) => {
        const given = object.spec?.podCIDRs ?? [];
        if (type === 'delete' || object.metadata.name !== this.#name || given.length === 0) return;
        queueMicrotask(() => stop());
        resolve(given);
      });
    });
  }

  get waitingFor(): readonly string[] {
    return [...this.#waitingFor];
  }

  /** Resolves once the Node exists and says where the node is: others may now reach it. Tries until then. */
  async register(): Promise<void> {
    while (!this.#closed) {
      try {
        this.#heard(await this.#createOrAdopt());
        break;
      } catch (error) {
        log.warn({ err: error, node: this.#name }, 'the node could not be registered, trying again');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.#stop ??= this.#given.nodes.onChange(({ type, object }) => {
      if (object.metadata.name !== this.#name) return;
      if (type !== 'delete') this.#heard(object);
      else if (object.metadata.uid === this.#node?.metadata.uid) void this.#registerAgain();
    });
    void this.#write();
    void this.#renew();
  }

  async #registerAgain(): Promise<void> {
    log.warn({ node: this.#name }, 'the Node object was deleted: registered anew');
    this.#node = undefined;
    clearTimeout(this.#timer);
    await this.register();
  }

  get #name(): string {
    return this.#given.options.nodeName;
  }

  /** The part is in force. */
  /** Parts that are not in force yet. */
  get missing(): readonly string[] {
    return [...this.#waitingFor];
  }

  done(part: string): void {
    this.#waitingFor.delete(part);
    // What is still waited for is not worth a write of its own.
    if (this.#waitingFor.size === 0) void this.#write();
  }

  async #createOrAdopt(): Promise<Node> {
    const { client, options } = this.#given;
    const labels = {
      'beta.kubernetes.io/arch': goArchitecture(),
      'beta.kubernetes.io/os': 'linux',
      'kubernetes.io/arch': goArchitecture(),
      'kubernetes.io/hostname': this.#name,
      'kubernetes.io/os': 'linux',
      ...options.labels,
    };
    const podCIDRs = [...options.podCIDRs];
    const spec = podCIDRs.length > 0 ? { podCIDR: podCIDRs[0]!, podCIDRs } : {};
    try {
      const status = this.#desired({});
      return await client.create('Node', { metadata: { name: this.#name, labels }, spec, status });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
    const found = await client.get('Node', this.#name);
    const missing = Object.entries(labels).filter(([key, value]) => found.metadata.labels?.[key] !== value);
    const unplaced = podCIDRs.length > 0 && !found.spec?.podCIDR;
    if (missing.length === 0 && !unplaced) return found;
    const patch = { metadata: { labels: Object.fromEntries(missing) }, ...(unplaced && { spec }) };
    return client.patch('Node', { name: this.#name }, patch);
  }

  #heard(node: Node): void {
    const newer = Number(node.metadata.resourceVersion) > Number(this.#node?.metadata.resourceVersion ?? 0);
    if (!newer) return;
    this.#node = node;
    this.#taken = undefined;
    void this.#write();
  }

  #desired(base: NodeStatus): NodeStatus {
    const { options, capacity, nodeInfo, images } = this.#given;
    const status = nodeStatus(
      { options, capacity, nodeInfo, images: images.list(), waitingFor: this.waitingFor, now: Date.now() },
      base,
    );
    const lastHeartbeatTime = timestamp(this.#heartbeat);
    return {
      ...status,
      conditions: (status.conditions ?? []).map((condition) => ({ ...condition, lastHeartbeatTime })),
    };
  }

  /** One write at a time; what changes meanwhile is written after it. */
  async #write(): Promise<void> {
    this.#again = true;
    if (this.#writing) return;
    this.#writing = true;
    while (this.#again && this.#node && !this.#closed) {
      this.#again = false;
      const base = this.#node.status ?? {};
      if (this.#isTakingUp(base)) continue;
      const change = statusChange(base, this.#desired(base));
      if (!change || JSON.stringify(change) === this.#taken) {
        if (this.#waitingFor.size === 0) this.#ready.resolve();
        continue;
      }
      try {
        const target = { name: this.#name, subresource: 'status' };
        this.#heard(await this.#given.client.patch('Node', target, { status: change }, 'strategic'));
        this.#taken = JSON.stringify(change);
        this.#again = true;
      } catch (error) {
        log.warn({ err: error, node: this.#name }, 'node status not written, trying again');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        this.#again = !isNotFound(error);
      }
    }
    this.#writing = false;
  }

  /** A new agent on a node that was Ready does not say otherwise while it takes things up: its pods have never been away. */
  #isTakingUp({ conditions }: NodeStatus): boolean {
    const ready = conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
    return this.#waitingFor.size > 0 && ready === true && Date.now() - this.#begun < RENEW_MS;
  }

  /** Says that the node lives: a Lease every 10 s, and its status every five minutes. */
  async #renew(): Promise<void> {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#renew(), RENEW_MS);
    if (Date.now() - this.#heartbeat >= HEARTBEAT_MS) this.#heartbeat = Date.now();
    void this.#write();
    // An API server that does not answer is not asked again and again.
    if (this.#renewing) return;
    this.#renewing = true;
    try {
      await this.#renewLease();
    } catch (error) {
      log.warn({ err: error, node: this.#name }, 'the lease was not renewed');
    }
    this.#renewing = false;
  }

  async #renewLease(): Promise<void> {
    const { client } = this.#given;
    const renewTime = `${new Date().toISOString().slice(0, -1)}000Z`;
    const target = { name: this.#name, namespace: LEASE_NAMESPACE };
    try {
      await client.patch('Lease', target, { spec: { holderIdentity: this.#name, renewTime } });
    } catch (error) {
      if (!isNotFound(error) || !this.#node) throw error;
      const owner = { apiVersion: 'v1', kind: 'Node', name: this.#name, uid: this.#node.metadata.uid };
      const spec = { holderIdentity: this.#name, leaseDurationSeconds: LEASE_SECONDS, renewTime };
      const lease: Pick<Lease, 'spec'> = { spec: spec as unknown as NonNullable<Lease['spec']> };
      await client.create('Lease', { metadata: { ...target, ownerReferences: [owner] }, ...lease });
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#stop?.();
  }
}
