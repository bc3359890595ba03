// Room cli: `podwire down`.
import { down } from '../cluster/down.ts';
import { knownClusters } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';

export async function runDown(flags: { readonly name: string; readonly all?: boolean }): Promise<void> {
  requireRoot();
  const names = flags.all ? knownClusters() : [flags.name];
  if (names.length === 0) console.log('No cluster is up.');
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      await down(name);
      console.log(`Cluster ${name} is down.`);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
