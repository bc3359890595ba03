// Room controllers: Nodes carry the taints that follow from their conditions, and pods on lost Nodes are not Ready.

import { isDeepStrictEqual } from 'node:util';
import { isNotFound } from '../../objects/status.ts';
import { timestamp } from '../../objects/time.ts';
import type { Node, Pod } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { isPodReady } from '../pods.ts';
import { createQueue } from '../queue.ts';
import { readyCondition, taintsFor } from './conditions.ts';

export function startNodeTaints({ client, informers, recorder }: ControllerContext): Controller {
  const events = recorder('node-controller');
  const nodes = informers.of('Node');
  const queue = createQueue('NodeTaint', sync);
  const lost = createQueue('LostNode', markPods);
  nodes.onChange((change) => {
    const { name } = change.object.metadata;
    if (change.type === 'delete') return;
    queue.add(name);
    const wasReady = change.type === 'add' || isReady(change.old);
    if (wasReady && readyCondition(change.object) && !isReady(change.object)) lost.add(name);
  });

  async function sync(name: string): Promise<void> {
    const node = nodes.get(name);
    if (!node) return;
    const taints = taintsFor(node, Date.now());
    if (isDeepStrictEqual(taints, node.spec?.taints ?? [])) return;
    try {
      const { taints: _, ...spec } = node.spec ?? {};
      const next = { ...node, spec: { ...spec, ...(taints.length > 0 && { taints }) } };
      const written = await client.update('Node', next);
      await informers.echo('Node').written(written);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Only at the moment at which the node is lost: one that answers may have its own opinion about its pods. */
  async function markPods(name: string): Promise<void> {
    const node = nodes.get(name);
    if (!node || isReady(node)) return;
    const ready = [...informers.of('Pod').byIndex('node', name)].filter(isPodReady);
    await Promise.all(ready.map(markPod));
  }

  async function markPod(pod: Pod): Promise<void> {
    const { name, namespace } = pod.metadata;
    const lastTransitionTime = timestamp(Date.now());
    const status = { conditions: [{ type: 'Ready', status: 'False', lastTransitionTime }] };
    try {
      await client.patch('Pod', { name, namespace, subresource: 'status' }, { status }, 'strategic');
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    events.event(pod, 'Warning', 'NodeNotReady', 'Node is not ready');
  }

  return {
    close() {
      queue.close();
      lost.close();
    },
  };
}

function isReady(node: Node): boolean {
  return readyCondition(node)?.status === 'True';
}
