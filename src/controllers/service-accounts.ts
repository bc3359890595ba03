// Room controllers: what every namespace has from its first moment: the ServiceAccount `default` and the cluster's CA.
import { isAlreadyExists } from '../objects/status.ts';
import type { Controller, ControllerContext } from './controller.ts';
import { createQueue, isNamespaceTerminating } from './queue.ts';

const ACCOUNT = 'default';
const CA_MAP = 'kube-root-ca.crt';
const CA_NOTE = {
  'kubernetes.io/description':
    'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc.',
};

export function startServiceAccounts({ client, informers }: ControllerContext): Controller {
  const namespaces = informers.of('Namespace');
  const accounts = informers.of('ServiceAccount');
  const queue = createQueue('ServiceAccount', sync);
  namespaces.onChange(({ object }) => queue.add(object.metadata.name));
  accounts.onChange(({ type, object }) => {
    if (type === 'delete' && object.metadata.name === ACCOUNT) queue.add(object.metadata.namespace!);
  });

  async function sync(namespace: string): Promise<void> {
    const active = namespaces.get(namespace)?.metadata.deletionTimestamp === undefined && namespaces.get(namespace);
    if (!active || accounts.get(`${namespace}/${ACCOUNT}`)) return;
    await client.create('ServiceAccount', { metadata: { name: ACCOUNT, namespace } }).catch(ignoreLateness);
  }

  return { close: queue.close };
}

/** Keeps the ConfigMap kube-root-ca.crt of every namespace at the CA that was given; does nothing without one. */
export function startRootCA({ client, informers, options }: ControllerContext): Controller {
  const { rootCA } = options;
  if (rootCA === undefined) return { close() {} };
  const data = { 'ca.crt': rootCA };
  const namespaces = informers.of('Namespace');
  const maps = informers.of('ConfigMap');
  const queue = createQueue('RootCA', sync);
  namespaces.onChange(({ object }) => queue.add(object.metadata.name));
  maps.onChange(({ type, object }) => {
    if (type !== 'add' && object.metadata.name === CA_MAP) queue.add(object.metadata.namespace!);
  });

  async function sync(namespace: string): Promise<void> {
    const home = namespaces.get(namespace);
    if (!home || home.metadata.deletionTimestamp) return;
    const map = maps.get(`${namespace}/${CA_MAP}`);
    if (!map) {
      const metadata = { name: CA_MAP, namespace, annotations: CA_NOTE };
      await client.create('ConfigMap', { metadata, data }).catch(ignoreLateness);
    } else if (map.data?.['ca.crt'] !== rootCA) await client.update('ConfigMap', { ...map, data });
  }

  return { close: queue.close };
}

/** It is there already, or the namespace is on its way out. */
function ignoreLateness(error: unknown): void {
  if (!isAlreadyExists(error) && !isNamespaceTerminating(error)) throw error;
}
