// Room cli: `podwire check`.
import { type CheckRow, checkMachine } from '../cluster/check.ts';
import { formatTable } from './table.ts';

/** Exit code 1 when something that podwire cannot do without is missing. */
export function runCheck(flags: { readonly output: string }): void {
  const rows = checkMachine();
  console.log(flags.output === 'json' ? JSON.stringify(rows, undefined, 2) : render(rows));
  if (rows.some((row) => row.state === 'missing')) process.exitCode = 1;
}

function render(rows: readonly CheckRow[]): string {
  const mends = rows.filter((row) => row.mend && row.state !== 'ok').map((row) => `  ${row.what}: ${row.mend}`);
  const table = formatTable([['CHECK', 'STATE', 'DETAIL'], ...rows.map((row) => [row.what, row.state, row.detail])]);
  return mends.length === 0 ? `${table}\n\nAll is well.` : `${table}\n\nTo mend:\n${mends.join('\n')}`;
}
