// Room cluster: the demo application, applied as any user's manifest would be.
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import type { Client } from '../client/client.ts';
import { isAlreadyExists } from '../objects/status.ts';
import type { Draft, Kind, KindTypes, KubeObject, Pod } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import { installed } from '../observe/install.ts';

const MANIFEST = installed('demo', 'shop.yaml');

/** A container that ended may have been unlucky; one that ended so often never starts. */
const TRIES = 3;

/** Settles when every pod of the demo is Ready. Throws a Fault with the runtime's words when one cannot start. */
export async function applyDemo(client: Client): Promise<void> {
  const documents = parseAllDocuments(readFileSync(MANIFEST, 'utf8'));
  await apply(
    client,
    documents.map((document) => document.toJS() as KubeObject),
  );
  await untilReady(client);
}

async function apply(client: Client, objects: readonly KubeObject[]): Promise<void> {
  for (const object of objects) {
    try {
      await client.create(object.kind as Kind, object as Draft<KindTypes[Kind]>);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

async function untilReady(client: Client): Promise<void> {
  const pending = new Set<string>();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const { items, metadata } = await client.list('Deployment', { namespace: 'demo' });
  const isDone = (deployment: KindTypes['Deployment']) =>
    (deployment.status?.readyReplicas ?? 0) >= (deployment.spec.replicas ?? 1);
  for (const item of items) if (!isDone(item)) pending.add(item.metadata.name);
  if (pending.size === 0) return;
  const options = { namespace: 'demo', resourceVersion: metadata.resourceVersion };
  const stream = client.watch('Deployment', options, ({ object }) => {
    const deployment = object as KindTypes['Deployment'];
    if (deployment.kind === 'Deployment' && isDone(deployment)) pending.delete(deployment.metadata.name);
    if (pending.size === 0) resolve();
  });
  const pods = await client.list('Pod', { namespace: 'demo' });
  const look = (pod: Pod) => {
    const trouble = pod.kind === 'Pod' ? troubleOf(pod) : undefined;
    if (trouble !== undefined) reject(new Fault(trouble, { mend: 'podwire check; without --demo the cluster starts' }));
  };
  for (const pod of pods.items) look(pod);
  const since = { namespace: 'demo', resourceVersion: pods.metadata.resourceVersion };
  const podStream = client.watch('Pod', since, ({ object }) => look(object as Pod));
  try {
    await Promise.race([promise, stream.done]);
  } finally {
    stream.stop();
    podStream.stop();
  }
}

/** Why a pod will not become Ready, or undefined as long as it may. */
export function troubleOf({ metadata, status }: Pod): string | undefined {
  const given = status?.containerStatuses?.find(
    ({ state, restartCount }) => state?.waiting?.reason === 'CrashLoopBackOff' && restartCount >= TRIES,
  );
  if (!given) return undefined;
  const { reason, message } = given.lastState?.terminated ?? {};
  const why = message?.trim() || reason || given.state!.waiting!.message;
  return `the demo's pod ${metadata.namespace}/${metadata.name} does not start: container ${given.name}: ${why}`;
}
