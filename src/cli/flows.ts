// Room cli: `podwire flows`: packets that policies refused, let pass or would refuse, on all nodes, with the rules that say so.
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync, watch } from 'node:fs';
import { basename } from 'node:path';
import { knownCluster } from '../cluster/known.ts';
import { clusterPaths, nodeDir } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';
import { flowsFile } from '../node/policy-log.ts';
import { Fault } from '../observe/fault.ts';
import { type FlowLine, type FlowVerdict, flowLineText } from '../plan/policy/flow-line.ts';

interface FlowsFlags {
  readonly name: string;
  readonly output: string;
  readonly follow?: boolean;
  readonly pod?: string;
  readonly verdict?: FlowVerdict;
}

const NOTHING: Readonly<Record<FlowVerdict, string>> = {
  drop: 'No policy has refused anything',
  allow: 'No policy has told of what it allows (annotate it with podwire.io/log=allowed)',
  'would-deny': 'No staged policy would have refused anything',
};

/** How many are shown of the past when no pod is asked for. */
const PAST = 50;

/** A pod's name, its namespace before it or not. */
const POD = /^[^/]+(\/[^/]+)?$/;

export function runFlows(flags: FlowsFlags): void {
  if (flags.pod !== undefined && !POD.test(flags.pod))
    throw new Fault(`--pod takes NAME or NAMESPACE/NAME, not "${flags.pod}"`, { exitCode: 2 });
  requireRoot();
  const { nodes } = clusterPaths(knownCluster(flags.name));
  const files = readdirSync(nodes).map((node) => flowsFile(nodeDir(flags.name, node)));
  const { pod: asked, verdict } = flags;
  const wanted = (line: FlowLine) =>
    (asked === undefined || isPod(line.pod, asked) || isPod(line.peer, asked)) &&
    (verdict === undefined || line.verdict === verdict);
  const past = files.flatMap((file) => [...linesOf(`${file}.1`), ...linesOf(file)]).filter(wanted);
  past.sort((a, b) => (a.time < b.time ? -1 : 1));
  for (const each of past.slice(-PAST)) print(each, flags.output);
  if (flags.follow) for (const file of files) follow(file, (each) => wanted(each) && print(each, flags.output));
  else if (past.length === 0 && flags.output !== 'json') console.log(nothing(flags));
}

function nothing({ pod, verdict = 'drop' }: FlowsFlags): string {
  return `${NOTHING[verdict]}${pod === undefined ? '' : ` of pod ${pod} or to it`}.`;
}

function isPod(known: string, asked: string): boolean {
  return known === asked || known.split('/')[1] === asked;
}

function linesOf(file: string): FlowLine[] {
  return existsSync(file) ? parse(readFileSync(file, 'utf8')) : [];
}

function parse(text: string): FlowLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as FlowLine);
}

function print(each: FlowLine, output: string): void {
  console.log(output === 'json' ? JSON.stringify(each) : `${each.time} ${each.node} ${flowLineText(each)}`);
}

/** The node's directory tells of every change; what is new in the file is read from where the last reading ended. */
function follow(file: string, onLine: (each: FlowLine) => void): void {
  let at = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  watch(file.slice(0, -basename(file).length), (_, name) => {
    if (name !== basename(file)) return;
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (size < at) at = 0;
    if (size === at) return;
    const text = readFrom(file, at, size - at);
    const whole = text.lastIndexOf('\n') + 1;
    at += Buffer.byteLength(text.slice(0, whole));
    for (const each of parse(text.slice(0, whole))) onLine(each);
  });
}

function readFrom(file: string, at: number, length: number): string {
  const fd = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, at)).toString('utf8');
  } finally {
    closeSync(fd);
  }
}
