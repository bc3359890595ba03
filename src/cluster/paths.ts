// Room cluster: where a cluster's state lives on disk. One directory per cluster; `down` deletes it whole.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** PODWIRE_STATE moves everything, for tests and for several users of one machine. */
export function stateRoot(): string {
  return process.env['PODWIRE_STATE'] ?? '/var/lib/podwire';
}

export function imageDir(): string {
  return join(stateRoot(), 'images');
}

export interface ClusterPaths {
  readonly dir: string;
  /** The effective config: what `up` decided. */
  readonly config: string;
  /** Pid and start time of the daemon. */
  readonly pid: string;
  readonly log: string;
  readonly kubeconfig: string;
  /** Unix socket on which the daemon tells its state. */
  readonly control: string;
  readonly api: string;
  readonly nodes: string;
}

export function clusterPaths(name: string): ClusterPaths {
  const dir = join(stateRoot(), 'clusters', name);
  return {
    dir,
    config: join(dir, 'cluster.json'),
    pid: join(dir, 'daemon.pid'),
    log: join(dir, 'daemon.log'),
    kubeconfig: join(dir, 'kubeconfig'),
    control: join(dir, 'control.sock'),
    api: join(dir, 'api'),
    nodes: join(dir, 'nodes'),
  };
}

export function nodeDir(cluster: string, node: string): string {
  return join(clusterPaths(cluster).nodes, node);
}

/** Names of the clusters that have a state directory, up or not. */
export function knownClusters(): string[] {
  try {
    return readdirSync(join(stateRoot(), 'clusters')).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
