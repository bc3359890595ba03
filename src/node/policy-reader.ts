// Room node: policies as they come by the watches, and, for a pod that is to start, as they stand in the API now.
import type { Informer } from '../cache/informer.ts';
import type { Client } from '../client/client.ts';
import { kindRow } from '../objects/kinds.ts';
import { objectKey } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import { type AnyPolicy, type PolicyKind, policyId } from '../plan/policy/read-policy.ts';

const log = logger('policies');

export type PolicyWatches = ReadonlyMap<PolicyKind, Informer<AnyPolicy>>;

interface Read {
  readonly now: Promise<void>;
  next: Promise<void> | undefined;
}

/**
 * Watches of different kinds run side by side: a pod may come by one before a policy that is older than it has come by the other. So whoever
 * is about to start a pod asks for the policies once.
 */
export class PolicyReader {
  readonly #client: Client;
  readonly #engine: PolicyEngine;
  readonly #onChange: () => void;
  readonly #stops: (() => void)[];
  /** By id: the newest version that the engine was told of. */
  readonly #versions = new Map<string, number>();
  /** Ids of what is known, by kind. */
  readonly #known = new Map<PolicyKind, Set<string>>();
  /** By kind and namespace: a list that is under way, and whether another is to follow it. */
  readonly #reads = new Map<string, Read>();

  constructor(client: Client, watches: PolicyWatches, engine: PolicyEngine, onChange: () => void) {
    this.#client = client;
    this.#engine = engine;
    this.#onChange = onChange;
    this.#stops = [...watches].map(([kind, informer]) =>
      informer.onChange(({ type, object }) => {
        if (type === 'delete') this.#remove(kind, object);
        else this.#set(kind, object);
      }),
    );
  }

  #set(kind: PolicyKind, policy: AnyPolicy): void {
    const id = policyId(kind, objectKey(policy));
    const version = Number(policy.metadata.resourceVersion);
    if (version <= (this.#versions.get(id) ?? -1)) return;
    this.#versions.set(id, version);
    this.#known.set(kind, (this.#known.get(kind) ?? new Set()).add(id));
    try {
      this.#engine.setPolicy(policy, kind);
    } catch (error) {
      // Another API server may have stored what ours refuses.
      log.error({ policy: id, err: error }, 'a policy cannot be read, and is not in force');
      this.#engine.removePolicy(id);
    }
    this.#onChange();
  }

  #remove(kind: PolicyKind, policy: AnyPolicy): void {
    const id = policyId(kind, objectKey(policy));
    // An older version than is known: the policy was made anew since, or a list that was missed told of its end.
    const known = this.#versions.get(id) ?? -1;
    if (Number(policy.metadata.resourceVersion) >= known) this.#forget(kind, id);
    else this.#start(kind, policy.metadata.namespace).catch(() => {});
  }

  #forget(kind: PolicyKind, id: string): void {
    this.#versions.delete(id);
    this.#known.get(kind)?.delete(id);
    this.#engine.removePolicy(id);
    this.#onChange();
  }

  /** Where no policy of a kind is known at all, none is on its way either: a watch without a backlog tells of the first at once. */
  async read(namespace: string): Promise<void> {
    const kinds = [...this.#known].flatMap(([kind, ids]) => (ids.size > 0 ? [kind] : []));
    await Promise.all(kinds.map((kind) => this.#read(kind, kindRow(kind).namespaced ? namespace : undefined)));
  }

  #read(kind: PolicyKind, namespace: string | undefined): Promise<void> {
    const known = this.#reads.get(placeOf(kind, namespace));
    if (!known) return this.#start(kind, namespace);
    // What is under way may have begun before the caller's pod was made.
    known.next ??= known.now.catch(() => {}).then(() => this.#start(kind, namespace));
    return known.next;
  }

  #start(kind: PolicyKind, namespace: string | undefined): Promise<void> {
    const place = placeOf(kind, namespace);
    const now = this.#list(kind, namespace);
    const read: Read = { now, next: undefined };
    this.#reads.set(place, read);
    const done = () => {
      if (this.#reads.get(place) === read && !read.next) this.#reads.delete(place);
    };
    now.then(done, done);
    return now;
  }

  async #list(kind: PolicyKind, namespace: string | undefined): Promise<void> {
    const { items, metadata } = await this.#client.list(kind, namespace === undefined ? {} : { namespace });
    for (const policy of items) this.#set(kind, policy);
    const listed = new Set(items.map((policy) => policyId(kind, objectKey(policy))));
    const taken = Number(metadata?.resourceVersion ?? -1);
    for (const id of [...(this.#known.get(kind) ?? [])]) {
      if (listed.has(id) || this.#engine.policies.get(id)?.ref.namespace !== namespace) continue;
      if ((this.#versions.get(id) ?? -1) <= taken) this.#forget(kind, id);
    }
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }
}

function placeOf(kind: PolicyKind, namespace: string | undefined): string {
  return `${kind} ${namespace ?? ''}`;
}
