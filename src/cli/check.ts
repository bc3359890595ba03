// Room cli: `podwire check`.
import { type CheckRow, checkCluster, checkMachine } from '../cluster/check.ts';
import { knownCluster } from '../cluster/known.ts';
import { knownClusters } from '../cluster/paths.ts';
import { formatTable } from './table.ts';

/** Exit code 1 when something that podwire cannot do without is missing, or a running cluster's network is broken. */
export async function runCheck(
  flags: { readonly name: string; readonly output: string },
  isNamed: boolean,
): Promise<void> {
  // Who names none, or will start it under the name in PODWIRE_CLUSTER, may have none.
  if (isNamed) knownCluster(flags.name);
  const rows = [...(await checkMachine()), ...(await checkCluster(flags.name))];
  console.log(flags.output === 'json' ? JSON.stringify(rows, undefined, 2) : render(rows));
  const others = knownClusters();
  if (flags.output !== 'json' && others.length > 0 && !others.includes(flags.name))
    console.log(`\nThe paths of ${others.join(', ')}: podwire check --name ${others[0]}`);
  if (rows.some(({ state }) => state === 'missing' || state === 'broken')) process.exitCode = 1;
}

function render(rows: readonly CheckRow[]): string {
  const mends = rows.filter((row) => row.mend && row.state !== 'ok').map((row) => `  ${row.what}: ${row.mend}`);
  const table = formatTable([['CHECK', 'STATE', 'DETAIL'], ...rows.map((row) => [row.what, row.state, row.detail])]);
  return mends.length === 0 ? `${table}\n\nAll is well.` : `${table}\n\nTo mend:\n${mends.join('\n')}`;
}
