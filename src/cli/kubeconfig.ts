// Room cli: `podwire kubeconfig`.
import { existsSync } from 'node:fs';
import { clusterPaths } from '../cluster/paths.ts';
import { Fault } from '../observe/fault.ts';

export function runKubeconfig(flags: { readonly name: string }): void {
  const path = clusterPaths(flags.name).kubeconfig;
  if (!existsSync(path)) throw new Fault(`there is no cluster ${flags.name}`, { mend: 'podwire up' });
  console.log(path);
}
