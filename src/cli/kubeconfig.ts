// Room cli: `podwire kubeconfig`.
import { existsSync } from 'node:fs';
import { noCluster } from '../cluster/known.ts';
import { clusterPaths } from '../cluster/paths.ts';

export function runKubeconfig(flags: { readonly name: string }): void {
  const path = clusterPaths(flags.name).kubeconfig;
  if (!existsSync(path)) throw noCluster(flags.name);
  console.log(path);
}
