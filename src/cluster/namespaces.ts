// Room cluster: the network namespaces of a cluster's fabric and nodes, found by name.
import { readdirSync } from 'node:fs';
import { netnsName } from './layout.ts';

const FOLDER = '/run/netns';

/** The fabric's and the nodes'; not those of a cluster whose name begins alike, nor the pods', which are the runtime's. */
export function fabricNamespaces(clusterName: string): string[] {
  const prefix = netnsName(clusterName, '');
  const names = readNames().filter((name) => name.startsWith(prefix));
  return names.filter((name) => /^(fabric|node-\d+)$/.test(name.slice(prefix.length)));
}

/** Those of its pods: named by a hash. */
export function podNamespaces(clusterName: string): string[] {
  const prefix = netnsName(clusterName, '');
  return readNames().filter((name) => name.startsWith(prefix) && /^[0-9a-f]{10}$/.test(name.slice(prefix.length)));
}

/** Whether namespaces of a cluster of this name are there, whoever made them. */
export function fabricExists(clusterName: string): boolean {
  return fabricNamespaces(clusterName).length > 0;
}

function readNames(): string[] {
  try {
    return readdirSync(FOLDER);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
