// Room controllers: a Node whose Lease is not renewed any more is not Ready: nobody knows how it is.
import { isDeepStrictEqual } from 'node:util';
import type { Client } from '../../client/client.ts';
import type { Recorder } from '../../client/recorder.ts';
import type { Node } from '../../objects/types.ts';
import type { Controller, ControllerContext } from '../controller.ts';
import { createQueue } from '../queue.ts';
import { lostConditions, type NodeCondition, readyCondition } from './conditions.ts';

const LEASES = 'kube-node-lease';
const DEFAULT_GRACE_MS = 40_000;

/** Who comes late by this part of the grace was stopped or starved itself, has not read what came meanwhile, and must not judge. */
const OVERSLEPT = 20;

/** The last sign of life, by our own clock: those of the nodes may differ. */
interface Heartbeat {
  /** What must change to count as the next one. */
  readonly mark: string | undefined;
  /** performance.now() */
  readonly at: number;
}

export function startNodeHeartbeats({ client, informers, options, recorder }: ControllerContext): Controller {
  const grace = options.nodeGraceMs ?? DEFAULT_GRACE_MS;
  const events = recorder('node-controller');
  const nodes = informers.of('Node');
  const heartbeats = new Map<string, Heartbeat>();
  const queue = createQueue('NodeHeartbeat', sync);

  nodes.onChange((change) => {
    const { name } = change.object.metadata;
    if (change.type === 'delete') return void heartbeats.delete(name);
    const ready = readyCondition(change.object);
    const reported = change.type === 'update' && isReport(readyCondition(change.old), ready);
    if (!heartbeats.has(name) || reported) heartbeats.set(name, { mark: undefined, at: performance.now() });
    if (ready?.status !== 'Unknown') queue.addAfter(name, grace);
  });
  informers.of('Lease').onChange(({ type, object }) => {
    const { name, namespace } = object.metadata;
    const mark = object.spec?.renewTime;
    if (namespace !== LEASES || type === 'delete' || heartbeats.get(name)?.mark === mark) return;
    heartbeats.set(name, { mark, at: performance.now() });
  });

  /** Runs when the grace of the last heartbeat known then is over: looks again when the next one would be due. */
  async function sync(name: string): Promise<void> {
    const node = nodes.get(name);
    const heartbeat = heartbeats.get(name);
    if (!node || !heartbeat || readyCondition(node)?.status === 'Unknown') return;
    const left = heartbeat.at + grace - performance.now();
    if (left > 0) return queue.addAfter(name, left);
    if (-left > grace / OVERSLEPT) {
      heartbeats.set(name, { ...heartbeat, at: performance.now() });
      return queue.addAfter(name, grace);
    }
    await loseNode(client, events, node);
  }

  return { close: queue.close };
}

/** Says that nobody knows how the node is. Its taints, its pods' conditions and the endpoints follow from that. */
export async function loseNode(client: Client, events: Recorder, node: Node): Promise<void> {
  const conditions = lostConditions(node, Date.now());
  await client.update('Node', { ...node, status: { ...node.status, conditions } }, 'status');
  const { name } = node.metadata;
  events.event(node, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
}

/** A status that the node itself has written is a sign of life too. */
function isReport(before: NodeCondition | undefined, after: NodeCondition | undefined): boolean {
  return after?.status !== 'Unknown' && !isDeepStrictEqual(before, after);
}
