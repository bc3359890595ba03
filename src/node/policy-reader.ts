// Room node: policies as they come by the watch, and, for a pod that is to start, as they stand in the API now.
import type { Informer } from '../cache/informer.ts';
import type { Client } from '../client/client.ts';
import { type NetworkPolicy, objectKey } from '../objects/types.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';

/**
 * Watches of different kinds run side by side: a pod may come by one before a policy that is older than it has come by the other. So whoever
 * is about to start a pod asks for the policies once.
 */
export class PolicyReader {
  readonly #client: Client;
  readonly #engine: PolicyEngine;
  readonly #onChange: () => void;
  readonly #stop: () => void;
  /** By key: the newest version that the engine was told of. */
  readonly #versions = new Map<string, number>();
  /** By namespace: a list that is under way, and whether another is to follow it. */
  readonly #reads = new Map<string, { now: Promise<void>; next: Promise<void> | undefined }>();

  constructor(client: Client, policies: Informer<NetworkPolicy>, engine: PolicyEngine, onChange: () => void) {
    this.#client = client;
    this.#engine = engine;
    this.#onChange = onChange;
    this.#stop = policies.onChange(({ type, object }) => {
      if (type === 'delete') this.#remove(object);
      else this.#set(object);
    });
  }

  #set(policy: NetworkPolicy): void {
    const key = objectKey(policy);
    const version = Number(policy.metadata.resourceVersion);
    if (version <= (this.#versions.get(key) ?? -1)) return;
    this.#versions.set(key, version);
    this.#engine.setPolicy(policy);
    this.#onChange();
  }

  #remove(policy: NetworkPolicy): void {
    const key = objectKey(policy);
    // An older version than is known: the policy was made anew since, or a list that was missed told of its end.
    const known = this.#versions.get(key) ?? -1;
    if (Number(policy.metadata.resourceVersion) >= known) this.#forget(key);
    else this.#start(policy.metadata.namespace!).catch(() => {});
  }

  #forget(key: string): void {
    this.#versions.delete(key);
    this.#engine.removePolicy(`NetworkPolicy/${key}`);
    this.#onChange();
  }

  /** Where no policy is known at all, none is on its way either: a watch without a backlog tells of the first at once. */
  read(namespace: string): Promise<void> {
    if (this.#engine.policies.size === 0) return Promise.resolve();
    const known = this.#reads.get(namespace);
    if (!known) return this.#start(namespace);
    // What is under way may have begun before the caller's pod was made.
    known.next ??= known.now.catch(() => {}).then(() => this.#start(namespace));
    return known.next;
  }

  #start(namespace: string): Promise<void> {
    const now = this.#list(namespace);
    const read = { now, next: undefined };
    this.#reads.set(namespace, read);
    const done = () => {
      if (this.#reads.get(namespace) === read && !read.next) this.#reads.delete(namespace);
    };
    now.then(done, done);
    return now;
  }

  async #list(namespace: string): Promise<void> {
    const { items, metadata } = await this.#client.list('NetworkPolicy', { namespace });
    for (const policy of items) this.#set(policy);
    const listed = new Set(items.map(objectKey));
    const taken = Number(metadata?.resourceVersion ?? -1);
    for (const { key, ref } of [...this.#engine.policies.values()]) {
      const gone = ref.namespace === namespace && !listed.has(key);
      if (gone && (this.#versions.get(key) ?? -1) <= taken) this.#forget(key);
    }
  }

  close(): void {
    this.#stop();
  }
}
