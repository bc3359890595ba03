// Room cluster: the demo application, applied as any user's manifest would be.
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import type { Client } from '../client/client.ts';
import { isAlreadyExists } from '../objects/status.ts';
import type { Draft, Kind, KindTypes, KubeObject } from '../objects/types.ts';
import { installed } from '../observe/install.ts';

const MANIFEST = installed('demo', 'shop.yaml');

/** Settles when every pod of the demo is Ready. */
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
  const { promise, resolve } = Promise.withResolvers<void>();
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
  await Promise.race([promise, stream.done]);
  stream.stop();
}
