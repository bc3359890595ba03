// Room cli: `podwire down`.
import { down } from '../cluster/down.ts';
import { knownClusters } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';

export async function runDown(flags: { readonly name: string; readonly all?: boolean }): Promise<void> {
  requireRoot();
  const names = flags.all ? knownClusters() : [flags.name];
  if (names.length === 0) console.log('No cluster is up.');
  for (const name of names) {
    await down(name);
    console.log(`Cluster ${name} is down.`);
  }
}
