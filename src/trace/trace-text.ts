// Room trace: a trace as text that a tired human reads in ten seconds: a line a hop, and at last what to change.
import type { Ending, Hop, Trace, Way } from './hop.ts';

/** How words look: on a terminal in colour, else as they are. */
export interface Paint {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly dim: (text: string) => string;
}

const MOST_LINES = 8;

export const PLAIN: Paint = { good: (text) => text, bad: (text) => text, dim: (text) => text };

export function traceText(trace: Trace, paint: Paint): string[] {
  const { from, to, packet, ways } = trace;
  const groups = [...Map.groupBy(ways, kindOf).values()];
  const head = `${from} ${packet.src} -> ${to} ${packet.dst}:${packet.port}/${packet.protocol}`;
  const width = Math.max(0, ...ways.flatMap(({ hops }) => hops.map(({ node = '' }) => node.length)));
  const lines = [head, ''];
  let before: Way | undefined;
  for (const group of groups) {
    const [way] = group as [Way, ...Way[]];
    const shared = before ? sharedHops(before, way) : 0;
    if (groups.length > 1) lines.push(`${before ? '\n' : ''}${group.length} of ${ways.length} ways:`);
    lines.push(...way.hops.slice(shared).flatMap((hop) => hopLines(hop, width, paint)));
    if (group.length > 1)
      lines.push(paint.dim(`${group.length - 1} more of the ${ways.length} ways end alike: ${othersOf(group)}`));
    before ??= way;
  }
  return [...lines, '', ...verdictLines(trace, paint)];
}

function hopLines({ node = '', stage, ok, says, more = [] }: Hop, width: number, { good, bad, dim }: Paint): string[] {
  const mark = ok ? good('ok') : bad('NO');
  const line = `${mark}  ${node.padEnd(width)}  ${stage.padEnd(8)}  ${ok ? says : bad(says)}`;
  const rest = more.length > MOST_LINES ? [`and ${more.length - MOST_LINES} more`] : [];
  return [line, ...[...more.slice(0, MOST_LINES), ...rest].map((text) => dim(`${' '.repeat(width + 16)}${text}`))];
}

function sharedHops(a: Way, b: Way): number {
  const differs = a.hops.findIndex((hop, i) => JSON.stringify(hop) !== JSON.stringify(b.hops[i]));
  return differs < 0 ? 0 : differs;
}

/** Ways that end alike are told once. */
function kindOf({ ending: { kind, stage }, hops }: Way): string {
  const last = hops.at(-1)!;
  return `${kind} ${stage} ${stage === undefined ? '' : last.by.join()}`;
}

function othersOf([, ...others]: readonly Way[]): string {
  const names = others.map(({ ending }) => ending.at);
  return names.length > 4 ? `${names.slice(0, 4).join(', ')}, …` : names.join(', ');
}

const ENDS: Readonly<Record<Ending['kind'], string>> = {
  delivered: 'arrives',
  refused: 'refused: the sender is told at once',
  unreachable: 'unreachable: the sender is told that there is no way',
  lost: 'lost: the sender waits until it gives up',
};

export function arrives({ ways }: Trace): boolean {
  return ways.every(({ ending }) => ending.kind === 'delivered');
}

function verdictLines({ ways }: Trace, { good, bad }: Paint): string[] {
  const failed = ways.filter(({ ending }) => ending.kind !== 'delivered');
  if (failed.length === 0)
    return [
      good(
        `It arrives at ${[...new Set(ways.map(({ ending }) => ending.at))].slice(0, 4).join(' or ')}, and the answer comes back.`,
      ),
    ];
  const some = failed.length < ways.length ? `${failed.length} of ${ways.length} times ` : '';
  const kinds = [...new Set(failed.map(({ ending }) => ENDS[ending.kind]))];
  const mends = [...new Set(failed.flatMap(({ ending }) => ending.mend ?? []))];
  return [bad(`It is ${some}${kinds.join('; or ')}.`), ...mends.map((mend) => `To change that: ${mend}.`)];
}
