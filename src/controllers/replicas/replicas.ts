// Room controllers: ReplicaSets and ReplicationControllers keep their number of pods.
import { isDeepStrictEqual } from 'node:util';
import { orphansOf } from '../../cache/informers.ts';
import { matchesSelector } from '../../objects/select.ts';
import { isNotFound } from '../../objects/status.ts';
import { objectKey, type Pod, type ReplicaSet } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { isPodActive } from '../pods.ts';
import { createQueue, isNamespaceTerminating } from '../queue.ts';
import { adoptPatch, claim, controllerOf, controllerRef, releasePatch } from '../refs.ts';
import { planReplicas, type ReplicaOwner, type ReplicaStatus, selectorOf, withFailure } from './plan.ts';

type OwnerKind = 'ReplicaSet' | 'ReplicationController';
type Failure = Parameters<typeof withFailure>[1];

export const startReplicaSets = (context: ControllerContext) => startReplicas(context, 'ReplicaSet');
export const startReplicationControllers = (context: ControllerContext) =>
  startReplicas(context, 'ReplicationController');

function startReplicas(context: ControllerContext, kind: OwnerKind): Controller {
  const { client, informers } = context;
  const recorder = context.recorder(kind === 'ReplicaSet' ? 'replicaset-controller' : 'replication-controller');
  const owners = informers.of(kind);
  const pods = informers.of('Pod');
  const podEcho = informers.echo('Pod');
  const ownerEcho = informers.echo(kind);
  const queue = createQueue(kind, sync);

  owners.onChange(({ object }) => queue.add(objectKey(object)));
  pods.onChange((change) => {
    podChanged(change.object);
    if (change.type === 'update' && controllerOf(change.old)?.uid !== controllerOf(change.object)?.uid) {
      podChanged(change.old);
    }
  });

  function podChanged(pod: Pod): void {
    const ref = controllerOf(pod);
    const namespace = pod.metadata.namespace!;
    if (ref) {
      if (ref.kind === kind) queue.add(`${namespace}/${ref.name}`);
      return;
    }
    for (const owner of owners.byIndex('namespace', namespace)) {
      if (matchesSelector(selectorOf(owner), pod.metadata.labels)) queue.add(objectKey(owner));
    }
  }

  async function sync(key: string): Promise<void> {
    const owner = owners.get(key);
    if (!owner) return;
    const owned = await claimPods(owner);
    const plan = planReplicas(owner, owned, Date.now(), colocation(owner));
    const writes = await Promise.allSettled([
      createPods(owner, plan.create),
      ...plan.remove.map((pod) => remove(owner, pod)),
    ]);
    const failed = writes.find((write) => write.status === 'rejected');
    const failure: Failure = failed && {
      reason: writes[0] === failed ? 'FailedCreate' : 'FailedDelete',
      message: messageOf(failed.reason),
    };
    await writeStatus(owner, withFailure(plan.status, failure, Date.now()));
    if (failed && !isNamespaceTerminating(failed.reason)) throw failed.reason;
    if (plan.recheckAfterMs !== undefined) queue.addAfter(key, plan.recheckAfterMs);
  }

  async function claimPods(owner: ReplicaOwner): Promise<Pod[]> {
    const { namespace } = owner.metadata;
    const orphans = pods.byIndex('controller', orphansOf(namespace!));
    const candidates = [...pods.byIndex('controller', owner.metadata.uid), ...[...orphans].filter(isPodActive)];
    const { owned, adopt, release } = claim(owner, selectorOf(owner), candidates);
    if (adopt.length > 0) await assertCurrent(owner);
    const patches = [
      ...adopt.map((pod) => ({ pod, patch: adoptPatch(owner, pod) })),
      ...release.map((pod) => ({ pod, patch: releasePatch(pod, new Set([owner.metadata.uid])) })),
    ];
    await Promise.all(
      patches.map(async ({ pod, patch }) => {
        const target = { name: pod.metadata.name, namespace };
        await podEcho.written(await client.patch('Pod', target, patch).catch(ignoreNotFound(pod)));
      }),
    );
    return owned;
  }

  /** The cache may be behind: an owner that was deleted meanwhile must not adopt. */
  async function assertCurrent({ metadata }: ReplicaOwner): Promise<void> {
    const now = await client.get(kind, metadata.name, metadata.namespace);
    if (now.metadata.uid === metadata.uid && !now.metadata.deletionTimestamp) return;
    throw new Error(`${kind} ${metadata.namespace}/${metadata.name} was deleted meanwhile and adopts nothing`);
  }

  /** Pods of all owners that share this owner's controller (the revisions of a Deployment), counted by node. */
  function colocation(owner: ReplicaOwner): (pod: Pod) => number {
    let byNode: Map<string, number> | undefined;
    const count = () => {
      const parent = controllerOf(owner);
      const related = parent ? owners.byIndex('controller', parent.uid) : [owner];
      const counts = new Map<string, number>();
      for (const sibling of related) {
        for (const { spec } of pods.byIndex('controller', sibling.metadata.uid)) {
          if (spec.nodeName) counts.set(spec.nodeName, (counts.get(spec.nodeName) ?? 0) + 1);
        }
      }
      return counts;
    };
    return (pod) => {
      byNode ??= count();
      return byNode.get(pod.spec.nodeName ?? '') ?? 0;
    };
  }

  /** In batches of 1, 2, 4 …, so that a create that is refused is refused once and not `count` times. */
  async function createPods(owner: ReplicaOwner, count: number): Promise<void> {
    const echoes: Promise<void>[] = [];
    let refused: PromiseRejectedResult | undefined;
    for (let batch = 1, left = count; left > 0 && !refused; left -= batch, batch *= 2) {
      const pods = await Promise.allSettled(Array.from({ length: Math.min(batch, left) }, () => createPod(owner)));
      for (const pod of pods) {
        if (pod.status === 'fulfilled') echoes.push(podEcho.written(pod.value));
        else refused = pod;
      }
    }
    await Promise.all(echoes);
    if (refused) throw refused.reason;
  }

  async function createPod(owner: ReplicaOwner): Promise<Pod> {
    try {
      const pod = await client.create('Pod', podOf(owner));
      recorder.event(owner, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
      return pod;
    } catch (error) {
      if (!isNamespaceTerminating(error)) {
        recorder.event(owner, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`);
      }
      throw error;
    }
  }

  async function remove(owner: ReplicaOwner, pod: Pod): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    try {
      await client.delete('Pod', name, namespace, { preconditions: { uid } }).catch(ignoreNotFound(undefined));
    } catch (error) {
      recorder.event(owner, 'Warning', 'FailedDelete', `Error deleting: ${messageOf(error)}`);
      throw error;
    }
    recorder.event(owner, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
    await podEcho.deleted(pod);
  }

  async function writeStatus(owner: ReplicaOwner, status: ReplicaStatus): Promise<void> {
    if (isDeepStrictEqual(owner.status, status)) return;
    const changed = { ...owner, status } as ReplicaSet;
    const written = await client.update(kind, changed, 'status').catch(ignoreNotFound(owner));
    await ownerEcho.written(written);
  }

  return { close: queue.close };
}

/** The pod of an owner's template, as it is sent to be created. */
export function podOf(owner: ReplicaOwner) {
  const { metadata, spec } = owner.spec.template!;
  return {
    metadata: {
      generateName: `${owner.metadata.name}-`,
      namespace: owner.metadata.namespace!,
      ...(metadata?.labels && { labels: metadata.labels }),
      ...(metadata?.annotations && { annotations: metadata.annotations }),
      ...(metadata?.finalizers && { finalizers: metadata.finalizers }),
      ownerReferences: [controllerRef(owner)],
    },
    spec: spec!,
  };
}

function ignoreNotFound<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (isNotFound(error)) return instead;
    throw error;
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
