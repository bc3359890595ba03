// Room scheduler: gives every pod a node as soon as there is one that fits.

import { isDeepStrictEqual } from 'node:util';
import { createInformers, type Informers } from '../cache/informers.ts';
import type { Client } from '../client/client.ts';
import { createRecorder } from '../client/recorder.ts';
import { isConflict, isNotFound } from '../objects/status.ts';
import { timestamp } from '../objects/time.ts';
import type { Draft, Node, Pod } from '../objects/types.ts';
import { objectKey } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import { requiredTerms } from './affinity.ts';
import { place } from './place.ts';
import { ClusterState, type PodInfo, podInfo } from './state.ts';

const NAME = 'default-scheduler';
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 10_000;
const log = logger('scheduler');

export interface SchedulerOptions {
  readonly client: Client;
  /** Shared with the controllers, say; without it the scheduler has its own. */
  readonly informers?: Informers;
}

export interface Scheduler {
  /** Resolves when it knows all nodes and pods and places pods. */
  readonly ready: Promise<void>;
  close(): void;
}

export function startScheduler({ client, informers }: SchedulerOptions): Scheduler {
  const shared = informers ?? createInformers(client);
  const loop = new SchedulingLoop(client, shared);
  const kinds = ['Node', 'Pod', 'Namespace'] as const;
  const ready = Promise.all(kinds.map((kind) => shared.of(kind).synced)).then(() => loop.start());
  return {
    ready,
    close() {
      loop.close();
      if (!informers) shared.close();
    },
  };
}

class SchedulingLoop {
  readonly #client: Client;
  readonly #informers: Informers;
  readonly #recorder;
  readonly #state = new ClusterState();
  /** Pods to be placed now. */
  readonly #active = new Map<string, PodInfo>();
  /** Pods for which there was no node, with the sentence why; they wait for the cluster to change. */
  readonly #unschedulable = new Map<string, { info: PodInfo; message: string }>();
  /** Pods whose binding is on its way, or was acknowledged and is not yet seen. */
  readonly #binding = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #stops: (() => void)[] = [];
  #scheduled = false;
  #closed = false;

  constructor(client: Client, informers: Informers) {
    this.#client = client;
    this.#informers = informers;
    this.#recorder = createRecorder(client, NAME);
  }

  start(): void {
    if (this.#closed) return;
    const nodes = this.#informers.of('Node').onChange((change) => {
      if (change.type === 'delete') this.#state.removeNode(change.object.metadata.name);
      else this.#state.setNode(change.object);
      const helps = change.type === 'add' || (change.type === 'update' && isDifferentHost(change.old, change.object));
      if (helps) this.#retry(() => true);
    });
    const pods = this.#informers.of('Pod').onChange((change) => {
      if (change.type === 'delete') this.#podGone(change.object);
      else this.#podSeen(change.object, change.type === 'update' ? change.old : undefined);
    });
    this.#stops.push(nodes, pods);
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stops) stop();
  }

  #podSeen(pod: Pod, old: Pod | undefined): void {
    const key = objectKey(pod);
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') this.#podGone(pod);
    else if (pod.spec.nodeName) {
      const same = old?.spec.nodeName && old.metadata.generation === pod.metadata.generation;
      const isNews = this.#binding.delete(key) || !same;
      this.#active.delete(key);
      this.#unschedulable.delete(key);
      if (isNews) this.#state.assign(podInfo(pod), pod.spec.nodeName);
      if (isNews) this.#retry(({ pod: waiting }) => requiredTerms(waiting, 'podAffinity').length > 0);
    } else if (pod.metadata.deletionTimestamp || pod.spec.schedulingGates?.length) this.#forget(key);
    else if ((pod.spec.schedulerName ?? NAME) === NAME && !this.#binding.has(key)) {
      const waiting = this.#unschedulable.get(key);
      const same = old && isDeepStrictEqual([old.spec, old.metadata.labels], [pod.spec, pod.metadata.labels]);
      // Only its status has changed, and that is our own word about it.
      if (same && waiting) this.#unschedulable.set(key, { ...waiting, info: podInfo(pod) });
      else this.#activate(podInfo(pod));
    }
  }

  #podGone(pod: Pod): void {
    const key = objectKey(pod);
    this.#forget(key);
    this.#binding.delete(key);
    this.#state.release(key);
    if (pod.spec.nodeName) this.#retry(() => true);
  }

  #forget(key: string): void {
    this.#active.delete(key);
    this.#unschedulable.delete(key);
    this.#failures.delete(key);
  }

  #activate(info: PodInfo): void {
    this.#active.set(info.key, info);
    this.#wake();
  }

  #retry(concerns: (info: PodInfo) => boolean): void {
    for (const { info } of this.#unschedulable.values()) if (concerns(info)) this.#activate(info);
  }

  /** All changes that arrive together are looked at together. */
  #wake(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.#closed) this.#placeAll();
    });
  }

  #placeAll(): void {
    const pods = [...this.#active.values()].sort(byPriorityAndAge);
    this.#active.clear();
    const nodes = this.#state.nodes();
    const namespaces = this.#informers.of('Namespace');
    for (const info of pods) {
      const placement = place(info, nodes, (name) => namespaces.get(name)?.metadata.labels);
      if ('node' in placement) void this.#bind(info, placement.node);
      else void this.#refuse(info, placement.message);
    }
  }

  async #bind(info: PodInfo, node: string): Promise<void> {
    const { name, namespace, uid } = info.pod.metadata;
    this.#unschedulable.delete(info.key);
    this.#binding.add(info.key);
    this.#state.assign(info, node);
    const target = { apiVersion: 'v1', kind: 'Node', name: node };
    const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name, namespace, uid }, target };
    try {
      await this.#client.create('Pod', binding as unknown as Draft<Pod>, { name, subresource: 'binding' });
      this.#failures.delete(info.key);
      this.#recorder.event(info.pod, 'Normal', 'Scheduled', `Successfully assigned ${info.key} to ${node}`);
    } catch (error) {
      this.#bindFailed(info, error);
    }
  }

  #bindFailed(info: PodInfo, error: unknown): void {
    if (!this.#binding.delete(info.key)) return;
    this.#state.release(info.key);
    // It is gone, or somebody else has placed it: the watch will tell.
    if (this.#closed || isNotFound(error) || isConflict(error)) return;
    const failed = this.#failures.get(info.key) ?? 0;
    this.#failures.set(info.key, failed + 1);
    log.warn({ pod: info.key, err: error }, 'a binding failed and will be repeated');
    const again = () => {
      const now = this.#informers.of('Pod').get(info.key);
      if (now && !now.spec.nodeName && this.#failures.has(info.key)) this.#podSeen(now, undefined);
    };
    setTimeout(again, Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** failed)).unref();
  }

  async #refuse(info: PodInfo, message: string): Promise<void> {
    const isNews = this.#unschedulable.get(info.key)?.message !== message;
    this.#unschedulable.set(info.key, { info, message });
    if (!isNews) return;
    this.#recorder.event(info.pod, 'Warning', 'FailedScheduling', message);
    const { name, namespace } = info.pod.metadata;
    const before = info.pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
    if (before?.message === message) return;
    const lastTransitionTime = before?.lastTransitionTime ?? timestamp(Date.now());
    const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime };
    try {
      const target = { name, namespace, subresource: 'status' };
      await this.#client.patch('Pod', target, { status: { conditions: [condition] } }, 'strategic');
    } catch (error) {
      if (!isNotFound(error)) log.warn({ pod: info.key, err: error }, 'the condition PodScheduled was not written');
    }
  }
}

function byPriorityAndAge(a: PodInfo, b: PodInfo): number {
  const priority = (b.pod.spec.priority ?? 0) - (a.pod.spec.priority ?? 0);
  return priority || Date.parse(a.pod.metadata.creationTimestamp) - Date.parse(b.pod.metadata.creationTimestamp);
}

/** Something has changed that decides whether pods fit. Heartbeats change the status all the time. */
function isDifferentHost(old: Node, node: Node): boolean {
  const traits = ({ metadata, spec, status }: Node) => [
    metadata.labels,
    spec?.taints,
    spec?.unschedulable,
    status?.allocatable,
  ];
  return !isDeepStrictEqual(traits(old), traits(node));
}
