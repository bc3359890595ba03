// Room node: the pods of this node: one worker each, and none for what is no longer wanted.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { IP } from '../addr/ip.ts';
import { createInformer, type Informer } from '../cache/informer.ts';
import { objectKey, type Pod } from '../objects/types.ts';
import { logger } from '../observe/log.ts';
import type { ContainerStatus } from '../runtime/runtime.ts';
import { isOver, type Refusal, refusalOf } from './admission.ts';
import { podSearches } from './etc-files.ts';
import type { PodContext } from './pod-context.ts';
import { logsDir, podDataDir, podUidOf, sandboxId } from './pod-paths.ts';
import { type Adopted, PodWorker } from './pod-worker.ts';

const log = logger('pods');
const IP_INDEX = 'ip';

function ownIPs({ spec, status }: Pod): IP[] {
  return spec.hostNetwork ? [] : (status?.podIPs ?? []).map(({ ip }) => ip);
}

export class Pods {
  readonly #context: PodContext;
  readonly #informer: Informer<Pod>;
  readonly #workers = new Map<string, PodWorker>();
  /** What was there before us and has not been claimed by a pod. */
  readonly #found = new Map<string, Adopted>();
  /** Of the first list. */
  #first: Pod[] = [];
  #closed = false;
  /** Every pod of this node has a worker, and what runs is adopted. */
  readonly synced: Promise<void>;

  constructor(context: PodContext) {
    this.#context = context;
    this.#find();
    context.runtime.onExit((status) => this.#exited(status));
    const fieldSelector = `spec.nodeName=${context.options.nodeName}`;
    const indexes = { [IP_INDEX]: ownIPs };
    this.#informer = createInformer(context.client, 'Pod', { fieldSelector, indexes });
    this.#informer.onChange((change) => {
      if (this.#closed) return;
      if (!this.#informer.hasSynced && change.type === 'add') this.#first.push(change.object);
      else if (change.type === 'delete') this.#workers.get(change.object.metadata.uid)?.remove();
      else this.#set(change.object, change.type === 'update' ? change.old : undefined);
    });
    this.synced = this.#informer.synced.then(() => {
      this.#takeFirst();
      this.#sweep();
    });
  }

  get(namespace: string, name: string): PodWorker | undefined {
    const pod = this.#informer.get(`${namespace}/${name}`);
    return pod && this.#workers.get(pod.metadata.uid);
  }

  /** The search list of the pod that has the address for itself. */
  searchesOf(ip: IP): readonly string[] | undefined {
    const [pod] = this.#informer.byIndex(IP_INDEX, ip);
    return pod && podSearches(pod, this.#context.options);
  }

  get size(): number {
    return this.#workers.size;
  }

  #find(): void {
    const { runtime } = this.#context;
    const containers = Map.groupBy(runtime.containers(), ({ sandboxId }) => sandboxId);
    for (const sandbox of runtime.sandboxes()) {
      this.#found.set(sandbox.podUid, { sandbox, containers: containers.get(sandbox.id) ?? [] });
    }
  }

  /** What runs has its ports; among the others the oldest is asked first. */
  #takeFirst(): void {
    const runs = ({ metadata }: Pod) => (this.#found.has(metadata.uid) ? 0 : 1);
    const age = ({ metadata }: Pod) => Date.parse(metadata.creationTimestamp);
    for (const pod of this.#first.sort((a, b) => runs(a) - runs(b) || age(a) - age(b))) this.#set(pod, undefined);
    this.#first = [];
  }

  #set(pod: Pod, old: Pod | undefined): void {
    const { uid } = pod.metadata;
    if (old && old.metadata.uid !== uid) this.#workers.get(old.metadata.uid)?.remove();
    const worker = this.#workers.get(uid);
    if (worker) {
      worker.update(pod);
      return;
    }
    const adopted = this.#found.get(uid);
    this.#found.delete(uid);
    if (adopted) log.info({ pod: objectKey(pod) }, 'adopted');
    const refusal = adopted ? undefined : this.#refusal(pod);
    this.#workers.set(uid, new PodWorker(this.#context, pod, { adopted, refusal }, () => this.#workers.delete(uid)));
  }

  #refusal(pod: Pod): Refusal | undefined {
    if (isOver(pod)) return undefined;
    const holders = [...this.#workers.values()].filter((worker) => worker.holdsPorts);
    return refusalOf(
      pod,
      holders.map((worker) => worker.pod),
    );
  }

  #exited(status: ContainerStatus): void {
    const uid = podUidOf(status.sandboxId);
    this.#workers.get(uid)?.containers.exited(status);
    const found = this.#found.get(uid);
    if (!found) return;
    const others = found.containers.filter(({ id }) => id !== status.id);
    this.#found.set(uid, { ...found, containers: [...others, status] });
  }

  /** After the first list: removes what belongs to pods that are no more. */
  #sweep(): void {
    const { runtime, network, options } = this.#context;
    for (const [uid, { sandbox }] of this.#found) {
      log.info({ pod: `${sandbox.podNamespace}/${sandbox.podName}` }, 'gone while the agent was away: removed');
      runtime.removeSandbox(sandbox.id).catch((error: unknown) => {
        log.warn({ err: error, sandbox: sandbox.id }, 'a sandbox could not be removed');
      });
      this.#found.delete(uid);
    }
    network.retain(new Set([...this.#workers.keys()].map(sandboxId)));
    const known = (uid: string) => this.#workers.has(uid);
    removeOthers(podDataDir(options.stateDir), known);
    removeOthers(logsDir(options.stateDir), (name) => known(name.slice(name.lastIndexOf('_') + 1)));
  }

  /** Leaves everything running. */
  close(): void {
    this.#closed = true;
    this.#informer.close();
    for (const worker of this.#workers.values()) worker.close();
  }
}

function removeOthers(dir: string, known: (name: string) => boolean): void {
  if (!existsSync(dir)) return;
  for (const name of readdirSync(dir)) {
    if (!known(name)) rmSync(join(dir, name), { recursive: true, force: true });
  }
}
