// Room cli: `podwire policy matrix | lint`: the engine that enforces, asked about a cluster or about manifests.
import { Fault } from '../observe/fault.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import { lint } from '../plan/policy/lint.ts';
import { type AskedPort, allowedText, type Cell, type Matrix, matrixOf } from '../plan/policy/matrix.ts';
import { expectedPort } from './expectation-file.ts';
import { matrixPage } from './matrix-page.ts';
import { policyObjects, policySource } from './policy-source.ts';
import { formatTable } from './table.ts';

interface PolicyFlags {
  readonly name: string;
  readonly namespace: string;
  readonly filename?: string;
  readonly output: string;
  readonly port?: string;
}

function portOf(text: string): AskedPort {
  const asked = expectedPort(text);
  if (typeof asked?.port === 'number') return { protocol: asked.protocol, port: asked.port };
  throw new Fault(`"${text}" is not a port such as 80 or 53/UDP`, { exitCode: 2 });
}

export async function runPolicyMatrix(flags: PolicyFlags & { readonly live?: boolean }): Promise<void> {
  const ports = flags.port === undefined ? undefined : flags.port.split(',').map((each) => portOf(each.trim()));
  if (flags.live) return runLive(flags, ports);
  const { engine } = await policySource(flags);
  const matrix = matrixOf(engine, ports);
  if (flags.output === 'json') console.log(JSON.stringify(matrix, undefined, 2));
  else if (flags.output === 'dot') console.log(dot(matrix));
  else if (flags.output === 'html') console.log(page(matrix, engine, flags.filename ?? `cluster ${flags.name}`));
  else console.log(table(matrix));
}

/** Exit code 3: packets and policies do not say the same. */
async function runLive(flags: PolicyFlags, ports: readonly AskedPort[] | undefined): Promise<void> {
  if (!ports) throw new Fault('--live needs ports to send to', { mend: '--port 80,53/UDP', exitCode: 2 });
  if (flags.filename !== undefined) throw new Fault('manifests have no pods to send from', { exitCode: 2 });
  if (!['table', 'json'].includes(flags.output)) throw new Fault('--live is a table or json', { exitCode: 2 });
  const { objects, dns } = await policyObjects(flags);
  const { liveMatrix } = await import('./matrix-live.ts');
  const live = await liveMatrix(flags.name, objects, dns, ports);
  const wrong = live.cells.filter(({ disagrees }) => disagrees.length > 0);
  if (flags.output === 'json') console.log(JSON.stringify(live, undefined, 2));
  else console.log(table(live, ({ disagrees }) => disagrees.map((port) => ` !${port}`).join('')));
  for (const { from, to, disagrees, why } of wrong)
    console.error(
      `podwire: policies and packets DISAGREE: ${from} -> ${to} ${disagrees.join(', ')}\n  ${why.join('\n  ')}`,
    );
  if (wrong.length > 0) process.exitCode = 3;
}

type Cells<T> = Pick<Matrix, 'groups'> & { readonly cells: readonly T[] };

/** `mark`: what stands behind a cell's text. */
function table<T extends Cell>({ groups, cells }: Cells<T>, mark: (cell: T) => string = () => ''): string {
  const names = groups.map(({ name }) => name);
  const texts = new Map(cells.map((cell) => [`${cell.from} ${cell.to}`, `${allowedText(cell.allowed)}${mark(cell)}`]));
  const rows = names.map((from) => [from, ...names.map((to) => texts.get(`${from} ${to}`)!)]);
  return formatTable([['FROM \\ TO', ...names], ...rows]);
}

/** Larger ones no browser shows at a glance. */
const MOST_ROWS = 400;

function page(matrix: Matrix, engine: PolicyEngine, title: string): string {
  const { length } = matrix.groups;
  if (length > MOST_ROWS) {
    throw new Fault(`${length} kinds of pods are too many for a page`, {
      mend: '-o json, or -f of a part of it',
      exitCode: 2,
    });
  }
  return matrixPage(matrix, engine, title);
}

function dot({ groups, cells }: Matrix): string {
  const lines = cells
    .filter(({ from, to, allowed }) => from !== to && allowedText(allowed) !== '-')
    .map((cell) => `  "${cell.from}" -> "${cell.to}" [label="${allowedText(cell.allowed)}"];`);
  return ['digraph policies {', ...groups.map(({ name }) => `  "${name}";`), ...lines, '}'].join('\n');
}

function policies(count: number): string {
  return count === 1 ? '1 policy' : `${count} policies`;
}

/** Exit code 3 when there is something to say. */
export async function runPolicyLint(flags: PolicyFlags): Promise<void> {
  const { engine, dns } = await policySource(flags);
  const findings = lint(engine, dns);
  if (flags.output === 'json') console.log(JSON.stringify(findings, undefined, 2));
  else if (findings.length === 0) console.log(`${policies(engine.policies.size)}, nothing to say.`);
  else
    for (const { check, where, says, mend } of findings)
      console.log(`${check}: ${where}\n  ${says}\n  to mend: ${mend}`);
  if (findings.length > 0) process.exitCode = 3;
}
