// Room cli: a cluster's API server, asked by a command.
import { Client } from '../client/client.ts';
import { openKubeconfig } from '../client/kubeconfig.ts';
import { noDaemon } from '../cluster/known.ts';
import { clusterPaths } from '../cluster/paths.ts';

/** Throws a Fault where nobody listens: the API server lives and dies with the daemon. */
export async function askCluster<T>(name: string, ask: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(openKubeconfig(clusterPaths(name).kubeconfig));
  try {
    return await ask(client);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? noDaemon(name) : error;
  } finally {
    client.transport.close();
  }
}
