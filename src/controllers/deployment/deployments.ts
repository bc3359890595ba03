// Room controllers: Deployments roll their pods from one template to the next.
import { isDeepStrictEqual } from 'node:util';
import { orphansOf } from '../../cache/informers.ts';
import { matchesSelector } from '../../objects/select.ts';
import { isAlreadyExists, isNotFound } from '../../objects/status.ts';
import { type Deployment, objectKey, type ReplicaSet } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { isPodTerminal } from '../pods.ts';
import { createQueue } from '../queue.ts';
import { adoptPatch, claim, controllerOf, releasePatch } from '../refs.ts';
import { templateText } from './hash.ts';
import { planDeployment, type Step } from './plan.ts';
import { REVISION, sizeOf } from './revision.ts';
import { type DeploymentStatus, refused } from './status.ts';

export function startDeployments(context: ControllerContext): Controller {
  const { client, informers } = context;
  const recorder = context.recorder('deployment-controller');
  const deployments = informers.of('Deployment');
  const sets = informers.of('ReplicaSet');
  const pods = informers.of('Pod');
  const setEcho = informers.echo('ReplicaSet');
  const echo = informers.echo('Deployment');
  const queue = createQueue('Deployment', sync);

  deployments.onChange(({ object }) => queue.add(objectKey(object)));
  sets.onChange((change) => {
    setChanged(change.object);
    if (change.type === 'update' && controllerOf(change.old)?.uid !== controllerOf(change.object)?.uid) {
      setChanged(change.old);
    }
  });
  // Recreate waits for the last old pod to be gone, which no ReplicaSet status tells.
  pods.onChange(({ object: pod }) => {
    const ref = controllerOf(pod);
    const set = ref?.kind === 'ReplicaSet' ? sets.get(`${pod.metadata.namespace}/${ref.name}`) : undefined;
    const owner = set && deployments.get(`${pod.metadata.namespace}/${controllerOf(set)?.name}`);
    if (owner?.spec.strategy?.type === 'Recreate') queue.add(objectKey(owner));
  });

  function setChanged(set: ReplicaSet): void {
    const ref = controllerOf(set);
    const namespace = set.metadata.namespace!;
    if (ref) {
      if (ref.kind === 'Deployment') queue.add(`${namespace}/${ref.name}`);
      return;
    }
    for (const deployment of deployments.byIndex('namespace', namespace)) {
      if (matchesSelector(deployment.spec.selector, set.metadata.labels)) queue.add(objectKey(deployment));
    }
  }

  async function sync(key: string): Promise<void> {
    const deployment = deployments.get(key);
    if (!deployment) return;
    const replicaSets = await claimSets(deployment);
    const step = planDeployment({ deployment, replicaSets, hasPods, now: Date.now() });
    const before = new Map(replicaSets.map((set) => [set.metadata.uid, sizeOf(set)]));
    const created = step.create && (await createSet(deployment, step.create));
    const status = created === 'collision' ? collided(deployment) : step.status;
    if (created !== 'collision') {
      for (const set of step.update) await updateSet(deployment, set, before.get(set.metadata.uid)!);
      for (const set of step.remove) await removeSet(set);
    }
    await writeStatus(deployment, status, step.revision);
    if (step.recheckAfterMs !== undefined) queue.addAfter(key, step.recheckAfterMs);
  }

  async function claimSets(deployment: Deployment): Promise<ReplicaSet[]> {
    const { namespace, uid } = deployment.metadata;
    const candidates = [...sets.byIndex('controller', uid), ...sets.byIndex('controller', orphansOf(namespace!))];
    const { owned, adopt, release } = claim(deployment, deployment.spec.selector, candidates);
    if (adopt.length > 0) await assertCurrent(deployment);
    const adopted = await Promise.all(adopt.map((set) => patchSet(set, adoptPatch(deployment, set))));
    await Promise.all(release.map((set) => patchSet(set, releasePatch(set, new Set([uid])))));
    return owned.map((set) => adopted.find((other) => other.metadata.uid === set.metadata.uid) ?? set);
  }

  async function patchSet(set: ReplicaSet, patch: unknown): Promise<ReplicaSet> {
    const { name, namespace } = set.metadata;
    const patched = await client.patch('ReplicaSet', { name, namespace }, patch);
    await setEcho.written(patched);
    return patched;
  }

  /** The cache may be behind: a Deployment that was deleted meanwhile must not adopt. */
  async function assertCurrent({ metadata }: Deployment): Promise<void> {
    const now = await client.get('Deployment', metadata.name, metadata.namespace);
    if (now.metadata.uid === metadata.uid && !now.metadata.deletionTimestamp) return;
    throw new Error(`Deployment ${metadata.namespace}/${metadata.name} was deleted meanwhile and adopts nothing`);
  }

  function hasPods(set: ReplicaSet): boolean {
    return [...pods.byIndex('controller', set.metadata.uid)].some((pod) => !isPodTerminal(pod));
  }

  async function createSet(
    deployment: Deployment,
    draft: NonNullable<Step['create']>,
  ): Promise<ReplicaSet | 'collision'> {
    try {
      const set = await client.create('ReplicaSet', draft);
      if (sizeOf(set) > 0) announceScale(deployment, set, 0);
      await setEcho.written(set);
      return set;
    } catch (error) {
      if (!isAlreadyExists(error)) {
        await writeStatus(deployment, refused(deployment, draft.metadata.name, error, Date.now()), undefined);
        throw error;
      }
    }
    const there = await client.get('ReplicaSet', draft.metadata.name, draft.metadata.namespace);
    const ours = controllerOf(there)?.uid === deployment.metadata.uid;
    const same = ours && templateText(there.spec.template!) === templateText(deployment.spec.template);
    return same ? there : 'collision';
  }

  async function updateSet(deployment: Deployment, set: ReplicaSet, before: number): Promise<void> {
    const written = await client.update('ReplicaSet', set);
    if (sizeOf(set) !== before) announceScale(deployment, set, before);
    await setEcho.written(written);
  }

  function announceScale(deployment: Deployment, set: ReplicaSet, before: number): void {
    const way = sizeOf(set) > before ? 'up' : 'down';
    const message = `Scaled ${way} replica set ${set.metadata.name} from ${before} to ${sizeOf(set)}`;
    recorder.event(deployment, 'Normal', 'ScalingReplicaSet', message);
  }

  async function removeSet(set: ReplicaSet): Promise<void> {
    const { name, namespace, uid } = set.metadata;
    try {
      await client.delete('ReplicaSet', name, namespace, { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    await setEcho.deleted(set);
  }

  async function writeStatus(seen: Deployment, status: DeploymentStatus, revision: number | undefined): Promise<void> {
    const deployment = revision === undefined ? seen : await annotate(seen, revision);
    if (isDeepStrictEqual(deployment.status, status)) return;
    try {
      await echo.written(await client.update('Deployment', { ...deployment, status }, 'status'));
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  async function annotate(deployment: Deployment, revision: number): Promise<Deployment> {
    const { name, namespace, resourceVersion, annotations } = deployment.metadata;
    if (annotations?.[REVISION] === String(revision)) return deployment;
    const patch = { metadata: { resourceVersion, annotations: { [REVISION]: String(revision) } } };
    return client.patch('Deployment', { name, namespace }, patch);
  }

  return { close: queue.close };
}

/** Another object has the name that the hash gave: the next run hashes with a higher count. */
function collided({ status }: Deployment): DeploymentStatus {
  return { ...status, collisionCount: (status?.collisionCount ?? 0) + 1 };
}
