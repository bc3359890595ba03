// Room cluster: a Node that is lost, and one that is Ready again, as the API has them.
import { setImmediate } from 'node:timers/promises';
import type { Client } from '../client/client.ts';
import { createRecorder } from '../client/recorder.ts';
import { loseNode } from '../controllers/node/heartbeats.ts';
import { isConflict, isNotFound } from '../objects/status.ts';
import type { Node } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';

const READY_LIMIT_MS = 30_000;

/**
 * Nobody hears from the node any more, and we know it: its controllers are told at once, where for a node that is lost by chance they
 * wait for its lease to run out (40 s).
 */
export async function markLost(client: Client, name: string): Promise<void> {
  // What the agent had sent before it was cut off comes first.
  for (let turn = 0; turn < 3; turn++) await setImmediate();
  const events = createRecorder(client, 'node-controller');
  for (;;) {
    try {
      return await loseNode(client, events, await client.get('Node', name));
    } catch (error) {
      if (isNotFound(error)) return;
      if (!isConflict(error)) throw error;
    }
  }
}

/** Throws a Fault when it is not Ready within half a minute. */
export async function untilNodeReady(client: Client, name: string): Promise<void> {
  const { items, metadata } = await client.list('Node', { fieldSelector: `metadata.name=${name}` });
  if (items.some(isReady)) return;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const options = { fieldSelector: `metadata.name=${name}`, resourceVersion: metadata.resourceVersion };
  const stream = client.watch('Node', options, ({ object }) => {
    if (isReady(object as Node)) resolve(true);
  });
  const limit = setTimeout(resolve, READY_LIMIT_MS, false);
  const ready = await Promise.race([promise, stream.done.then(() => false)]);
  clearTimeout(limit);
  stream.stop();
  if (!ready) throw new Fault(`${name} is not Ready after ${READY_LIMIT_MS / 1000} s`, { mend: 'podwire status' });
}

function isReady({ status }: Node): boolean {
  return status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false;
}
