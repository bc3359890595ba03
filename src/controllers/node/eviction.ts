// Room controllers: pods leave a Node whose NoExecute taints they do not tolerate, or no longer, and pods of Nodes that are gone go.

import { isDeepStrictEqual } from 'node:util';
import { isNotFound } from '../../objects/status.ts';
import { timestamp } from '../../objects/time.ts';
import { type Taint, tolerates } from '../../objects/tolerations.ts';
import { objectKey, type Pod } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { isPodActive } from '../pods.ts';
import { createQueue } from '../queue.ts';

/** When (ms since the epoch) the pod must leave because of these taints; undefined when it may stay. */
export function evictionTime({ spec }: Pod, taints: readonly Taint[], now: number): number | undefined {
  const times = taints
    .filter(({ effect }) => effect === 'NoExecute')
    .map((taint) => {
      const tolerations = (spec.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
      if (tolerations.length === 0) return now;
      const seconds = Math.min(...tolerations.map(({ tolerationSeconds }) => tolerationSeconds ?? Infinity));
      return Date.parse(taint.timeAdded ?? new Date(now).toISOString()) + Math.max(0, seconds) * 1000;
    });
  const first = Math.min(...times);
  return Number.isFinite(first) ? first : undefined;
}

export function startTaintEviction({ client, informers, recorder }: ControllerContext): Controller {
  const events = recorder('taint-eviction-controller');
  const nodes = informers.of('Node');
  const pods = informers.of('Pod');
  const queue = createQueue('TaintEviction', sync);
  nodes.onChange((change) => {
    const { metadata, spec } = change.object;
    if (change.type === 'delete' || !spec?.taints?.some(({ effect }) => effect === 'NoExecute')) return;
    if (change.type === 'update' && isDeepStrictEqual(change.old.spec?.taints, spec.taints)) return;
    for (const pod of pods.byIndex('node', metadata.name)) queue.add(objectKey(pod));
  });
  pods.onChange(({ type, object }) => {
    const taints = nodes.get(object.spec.nodeName ?? '')?.spec?.taints;
    if (type !== 'delete' && taints?.some(({ effect }) => effect === 'NoExecute')) queue.add(objectKey(object));
  });

  async function sync(key: string): Promise<void> {
    const pod = pods.get(key);
    const node = nodes.get(pod?.spec.nodeName ?? '');
    if (!pod || !node || !isPodActive(pod)) return;
    const now = Date.now();
    const time = evictionTime(pod, node.spec?.taints ?? [], now);
    if (time === undefined) return;
    if (time > now) queue.addAfter(key, time - now);
    else await evict(pod);
  }

  async function evict(pod: Pod): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    events.event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${namespace}/${name}`);
    const lastTransitionTime = timestamp(Date.now());
    const message = 'Taint manager: deleting due to NoExecute taint';
    const reason = 'DeletionByTaintManager';
    const condition = { type: 'DisruptionTarget', status: 'True', reason, message, lastTransitionTime };
    try {
      const target = { name, namespace, subresource: 'status' };
      await client.patch('Pod', target, { status: { conditions: [condition] } }, 'strategic');
      await client.delete('Pod', name, namespace, { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  return { close: queue.close };
}

/** A node that is gone for this long does not come back under the same name. */
const QUARANTINE_MS = 40_000;

/** Nobody is left on a Node that was deleted to confirm that its pods have ended. */
export function startPodCollection({ client, informers, options }: ControllerContext): Controller {
  const quarantine = options.nodeGraceMs ?? QUARANTINE_MS;
  const nodes = informers.of('Node');
  const pods = informers.of('Pod');
  const queue = createQueue('PodCollection', sync);
  const isStranded = ({ spec }: Pod) => !!spec.nodeName && !nodes.get(spec.nodeName);
  pods.onChange(({ type, object }) => {
    if (type !== 'delete' && isStranded(object)) queue.addAfter(objectKey(object), quarantine);
  });
  nodes.onChange(({ type, object }) => {
    if (type !== 'delete') return;
    for (const pod of pods.byIndex('node', object.metadata.name)) queue.addAfter(objectKey(pod), quarantine);
  });

  async function sync(key: string): Promise<void> {
    const pod = pods.get(key);
    if (!pod || !isStranded(pod) || (await nodeExists(pod.spec.nodeName!))) return;
    const { name, namespace, uid } = pod.metadata;
    try {
      await client.delete('Pod', name, namespace, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Asks the server: the cache may be behind. */
  async function nodeExists(name: string): Promise<boolean> {
    try {
      await client.get('Node', name);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  return { close: queue.close };
}
