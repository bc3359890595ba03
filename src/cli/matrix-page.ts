// Room cli: the matrix of who may speak to whom as one page of HTML that needs nothing else: no network, no other file.

import type { PolicyEngine } from '../plan/policy/engine.ts';
import { verdictText } from '../plan/policy/explain.ts';
import { type Flow, judge } from '../plan/policy/judge.ts';
import type { Allowed, Cell, Matrix } from '../plan/policy/matrix.ts';
import type { Protocol } from '../plan/policy/rules.ts';

interface Row {
  readonly namespace: string;
  readonly label: string;
  readonly name: string;
  readonly pods: readonly string[];
}

/** `title`: of which cluster or folder it is. */
export function matrixPage(matrix: Matrix, engine: PolicyEngine, title: string): string {
  const rows = matrix.groups.map(({ name, pods }): Row => {
    const [namespace = '', label = name] = name.split(/\/(.*)/s);
    return { namespace, label, name, pods };
  });
  const cells = new Map(matrix.cells.map((cell) => [`${cell.from}\n${cell.to}`, cell]));
  const reasons = new Reasons();
  const spaces = [...Map.groupBy(rows, ({ namespace }) => namespace)];
  const body = spaces.map(([namespace, members]) => {
    const lines = members.map((from, i) => {
      const head =
        i === 0
          ? `<th class="space" rowspan="${members.length}" title="${text(namespace)}"><span>${text(namespace)}</span></th>`
          : '';
      const tds = rows.map((to) => tdOf(cells.get(`${from.name}\n${to.name}`)!, from, to, engine, reasons));
      return `<tr>${head}<th class="pod" title="${text(from.pods.join('\n'))}">${text(from.label)}</th>${tds.join('')}</tr>`;
    });
    return `<tbody>${lines.join('\n')}</tbody>`;
  });
  return page(title, headOf(spaces), body.join('\n'), reasons.list);
}

/** Texts that many cells share stand in the page once. */
class Reasons {
  readonly list: string[] = [];
  readonly #known = new Map<string, number>();

  indexOf(reason: string): number {
    const known = this.#known.get(reason) ?? this.list.push(reason) - 1;
    this.#known.set(reason, known);
    return known;
  }
}

function headOf(spaces: readonly (readonly [string, readonly Row[]])[]): string {
  const bands = spaces.map(
    ([name, { length }]) =>
      `<th class="space" colspan="${length}" title="${text(name)}"><span>${text(name)}</span></th>`,
  );
  const names = spaces.flatMap(([, rows]) =>
    rows.map(({ label, pods }, i) => {
      const edge = i === 0 ? ' class="edge"' : '';
      return `<th${edge} title="${text(pods.join('\n'))}"><span>${text(label)}</span></th>`;
    }),
  );
  const corner = '<th class="corner" colspan="2" rowspan="2">from \\ to</th>';
  return `<thead><tr>${corner}${bands.join('')}</tr><tr class="names">${names.join('')}</tr></thead>`;
}

function tdOf(cell: Cell, from: Row, to: Row, engine: PolicyEngine, reasons: Reasons): string {
  const kind = kindOf(cell.allowed);
  const reason = reasons.indexOf(reasonOf(cell, from, to, engine));
  return `<td class="${kind}" data-r="${reason}">${text(shortText(cell.allowed))}</td>`;
}

function kindOf(allowed: Allowed): 'all' | 'some' | 'none' {
  if (allowed === 'all') return 'all';
  return 'allBut' in allowed || allowed.length > 0 ? 'some' : 'none';
}

/** What fits into a cell. */
function shortText(allowed: Allowed): string {
  if (allowed === 'all') return '●';
  if ('allBut' in allowed) return `●−${allowed.allBut.length}`;
  if (allowed.length === 0) return '';
  const first = allowed[0]!.replace(/^TCP /, '').replace(/^(\w)\w* /, '$1');
  return allowed.length === 1 ? first : `${first}+${allowed.length - 1}`;
}

/** What is asked of a flow that no rule knows by its port. */
const ANY: Pick<Flow, 'protocol' | 'port'> = { protocol: 'other', port: 0 };

function reasonOf({ allowed }: Cell, from: Row, to: Row, engine: PolicyEngine): string {
  const [source, target] = [from.pods[0]!, from === to && to.pods.length > 1 ? to.pods[1]! : to.pods[0]!];
  if (source === target) return 'a pod reaches itself always';
  const [a, b] = [source, target].map((key) => engine.pods.get(key)!.ips[0]!) as [string, string];
  const why = (port: Pick<Flow, 'protocol' | 'port'>) =>
    verdictText(judge(engine, { from: a, to: b, ...port })).slice(0, 2);
  const named = allowed === 'all' ? [] : 'allBut' in allowed ? allowed.allBut : allowed;
  const lines = named.flatMap((port) => [`${port}:`, ...why(portOf(port)).map((line) => `  ${line}`)]);
  const rest = named.length > 0 ? ['all else:', ...why(ANY).map((line) => `  ${line}`)] : why(ANY);
  return [...lines, ...rest].join('\n');
}

/** `TCP 80` */
function portOf(words: string): Pick<Flow, 'protocol' | 'port'> {
  const [protocol, port] = words.split(' ');
  return { protocol: protocol as Protocol, port: Number(port) };
}

function text(words: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return words.replaceAll(/[&<>"]/g, (sign) => names[sign]!);
}

const STYLE = `
:root { color-scheme: light dark; --back: #fff; --ink: #1b1f24; --line: #d7dce1; --head: #f3f5f7; --all: #1f7a4d; --some: #b26a00; --none: #f7e4e2; --mark: #dbe9ff }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --ink: #e4e7ea; --line: #30363d; --head: #1d2126; --all: #4cc38a; --some: #f0a33a; --none: #3a2020; --mark: #22344d } }
* { box-sizing: border-box }
body { margin: 0; height: 100vh; display: flex; flex-direction: column; background: var(--back); color: var(--ink); font: 13px/1.4 system-ui, sans-serif }
header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: baseline; padding: .6rem 1rem; border-bottom: 1px solid var(--line) }
h1 { font-size: 1.05rem; margin: 0 }
header span b { font-weight: 600 }
input { font: inherit; padding: .15rem .4rem; margin-left: auto }
main { flex: 1; overflow: auto }
table { border-collapse: separate; border-spacing: 0; font-size: 12px }
th, td { border-right: 1px solid var(--line); border-bottom: 1px solid var(--line); font-weight: 400 }
td { min-width: 3.2em; height: 1.9em; padding: 0 .4em; text-align: center; white-space: nowrap; cursor: default }
td.all { color: var(--all) } td.some { color: var(--some); font-weight: 600 } td.none { background: var(--none) }
th { background: var(--head) }
thead th { position: sticky; top: 0; z-index: 2 }
thead .space { height: 1.9em; max-width: 0; text-align: left; font-weight: 600; padding: 0 .4em; white-space: nowrap; overflow: clip; text-overflow: ellipsis }
thead .space span { position: sticky; left: 17em }
thead .names th { top: 1.9em; vertical-align: bottom; padding: .4em 0 }
thead .names span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 14em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; margin: 0 auto; display: block }
tbody th { position: sticky; z-index: 1 }
tbody .space { left: 0; width: 2em; min-width: 2em; padding: .3em 0; font-weight: 600; vertical-align: top }
tbody .space span { position: absolute; inset: .2em 0; overflow: clip; writing-mode: vertical-rl; transform: rotate(180deg); text-align: right; white-space: nowrap }
tbody .pod { left: 2em; text-align: right; padding: 0 .5em; max-width: 15em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.corner { left: 0; z-index: 3 !important; text-align: right; vertical-align: bottom; padding: .4em .5em }
tbody tr:first-child > * { border-top: 2px solid var(--line) }
th.at, td.at { background: var(--mark) }
pre { margin: 0; padding: .6rem 1rem; border-top: 1px solid var(--line); background: var(--head); height: 9.5em; overflow: auto; white-space: pre-wrap; font: 12px/1.45 ui-monospace, monospace }
`;

const SCRIPT = `
const table = document.querySelector('table'), why = document.querySelector('pre'), rows = [...table.tBodies].flatMap((body) => [...body.rows]);
const reasons = JSON.parse(document.getElementById('reasons').textContent), heads = [...table.tHead.rows[1].cells], said = why.textContent;
let marked = [];
const podOf = (row) => row.querySelector('.pod');
table.addEventListener('mouseover', (event) => {
  const td = event.target.closest('td');
  for (const each of marked) each.classList.remove('at');
  marked = [];
  if (!td) { why.textContent = said; return; }
  const row = td.parentNode, at = [...row.querySelectorAll('td')].indexOf(td);
  marked = [podOf(row), heads[at], td];
  for (const each of marked) each.classList.add('at');
  why.textContent = podOf(row).title.split('\\n')[0] + '  ->  ' + heads[at].title.split('\\n')[0] + '\\n' + reasons[td.dataset.r];
});
document.querySelector('input').addEventListener('input', ({ target }) => {
  const asked = target.value.trim();
  const shows = heads.map((head) => asked === '' || head.title.includes(asked));
  for (const [i, row] of rows.entries()) row.style.opacity = shows[i] ? '' : '.25';
  for (const [i, head] of heads.entries()) head.style.opacity = shows[i] ? '' : '.25';
});
`;

function page(title: string, head: string, body: string, reasons: readonly string[]): string {
  const data = JSON.stringify(reasons).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${text(title)}: who may speak to whom</title>
<style>${STYLE}</style></head><body>
<header><h1>${text(title)}</h1><span><b style="color:var(--all)">●</b> everything</span><span><b style="color:var(--some)">80, U53+2</b> only TCP 80; only UDP 53 and two more</span><span><b style="color:var(--some)">●−1</b> all but one</span><span style="background:var(--none);padding:0 .6em">nothing</span><input type="search" placeholder="find a pod" aria-label="find a pod"></header>
<main><table>${head}
${body}</table></main>
<pre aria-live="polite">Point at a cell to see which rule decides.</pre>
<script type="application/json" id="reasons">${data}</script>
<script>${SCRIPT}</script>
</body></html>`;
}
