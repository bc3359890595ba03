// Room cli: `podwire trace`: where a packet goes, every decision with the object that made it, and what to change where it dies.
import { styleText } from 'node:util';
import type { IP } from '../addr/ip.ts';
import { requireRoot } from '../cluster/root.ts';
import { Fault } from '../observe/fault.ts';
import type { TracedCluster } from '../trace/cluster.ts';
import { ANSWER } from '../trace/comparison.ts';
import { commonFamily, type End, elsewhere, endName, findEnd, findTarget, parseTarget, portOf } from '../trace/ends.ts';
import type { Hop, Question, Trace } from '../trace/hop.ts';
import { arrives, type Paint, traceText } from '../trace/trace-text.ts';
import { traceFlow } from '../trace/walker.ts';
import { formatTable } from './table.ts';
import { liveSource } from './trace-cluster.ts';
import { type Followed, follow } from './trace-live.ts';
import { lookUpOffline, manifestCluster } from './trace-manifests.ts';
import { lookUp } from './trace-name.ts';

export interface TraceFlags {
  readonly name: string;
  /** That of what is named without one. */
  readonly namespace?: string;
  readonly output: string;
  readonly live?: boolean;
  readonly filename?: string;
}

/** What a packet would be, and what was decided before it is one. */
interface Asked {
  readonly question: Question;
  readonly before: readonly Hop[];
  readonly sender: End;
}

/** Exit code 3: it does not arrive; 4: what was seen is not what was said (--live). */
export async function runTrace(from: string, to: string, flags: TraceFlags): Promise<void> {
  if (flags.filename !== undefined) {
    if (flags.live) throw new Fault('--live sends packets: there are none in manifests', { exitCode: 2 });
    const cluster = await manifestCluster(flags.filename);
    const { trace } = await traceOf(cluster, from, to, flags);
    return print(trace, undefined, flags.output);
  }
  requireRoot();
  const source = await liveSource(flags.name);
  const { trace, sender } = await traceOf(source.cluster, from, to, flags);
  const live = flags.live && sender ? await follow(source, sender, trace, flags.name) : undefined;
  print(trace, live, flags.output);
}

/** `sender` is absent where there is nothing to send: the name is nothing. */
async function traceOf(cluster: TracedCluster, from: string, to: string, flags: TraceFlags) {
  const asked = await askedOf(cluster, from, to, flags);
  if ('dead' in asked) return { trace: asked.dead };
  return { trace: traceFlow(cluster, asked.question, asked.before), sender: asked.sender };
}

function print(trace: Trace, live: Followed | undefined, output: string): void {
  if (output === 'json') console.log(JSON.stringify({ ...trace, arrives: arrives(trace), live }, undefined, 2));
  else
    console.log(
      [...traceText(live ? first(trace, live) : trace, paint), ...(live ? ['', ...liveText(live)] : [])].join('\n'),
    );
  if (live && !live.same) process.exitCode = 4;
  else if (!arrives(trace)) process.exitCode = 3;
}

/** The way that the packet took stands before those that it might have taken. */
function first(trace: Trace, { way }: Followed): Trace {
  return { ...trace, ways: [way, ...trace.ways.filter((each) => each !== way)] };
}

function liveText({ rows, same, fromPort, incomplete, blind, counted }: Followed): string[] {
  const head = ['', 'AT', 'SAID', 'PACKETS', `SEEN (sent from port ${fromPort})`];
  const packets = ({ at, said }: Followed['rows'][number]) => {
    const count = counted[at]?.[said === ANSWER ? 'answer' : 'request'];
    return count ? `${count.came} in, ${count.left} out` : '';
  };
  const told = rows.map((row) => [row.same ? 'ok' : 'NO', row.at, row.said, packets(row), row.seen]);
  const lines = formatTable([head, ...told]).split('\n');
  const coloured = lines.map((line, i) => (i === 0 ? line : rows[i - 1]!.same ? line : paint.bad(line)));
  const notes = [
    ...blind,
    ...(incomplete ? ['the kernel told more than could be heard: something may be missing'] : []),
  ];
  const verdict = same
    ? paint.good('What was seen is what was said.')
    : paint.bad(
        'What was seen is not what was said: the kernel has something that the plan has not, or changes are under way.',
      );
  return [...coloured, ...notes.map((note) => paint.dim(`Note: ${note}.`)), '', verdict];
}

async function askedOf(
  cluster: TracedCluster,
  from: string,
  to: string,
  flags: TraceFlags,
): Promise<Asked | { dead: Trace }> {
  const source = behind(cluster, findEnd(cluster, from, flags.namespace ?? 'default'), from);
  const target = parseTarget(to);
  const namespace = source.kind === 'pod' ? source.pod.metadata.namespace! : (flags.namespace ?? 'default');
  const found = findTarget(cluster, target.name, source, flags.namespace);
  const looked = found ? { end: found, hops: [] } : await named(cluster, source, target.name, { ...flags, namespace });
  if ('dead' in looked) return looked;
  const { end, hops } = looked;
  const ips = end.kind === 'service' && end.ips.length === 0 ? headless(cluster, end) : end.ips;
  const pair = commonFamily(source.ips, ips);
  if (!pair) {
    throw new Fault(`${endName(source)} and ${endName(end)} have no address family in common`, {
      mend: `${source.ips.join(', ') || 'none'} and ${ips.join(', ') || 'none'}`,
    });
  }
  const packet = { ...pair, port: portOf(end, target), protocol: target.protocol };
  return {
    question: { from: endName(source), to: target.name === pair.dst ? endName(end) : target.name, packet },
    before: hops,
    sender: source,
  };
}

/** A name that is no object's: what a pod's lookup would give. */
function named(
  cluster: TracedCluster,
  source: End,
  name: string,
  flags: TraceFlags & { readonly namespace: string },
): ReturnType<typeof lookUp> {
  if (flags.filename === undefined) return lookUp(cluster, source, name, flags);
  return Promise.resolve(lookUpOffline(cluster, source, name, flags.namespace));
}

/** Who sends: of a Service or a workload one of its pods. */
function behind(cluster: TracedCluster, end: End | undefined, text: string): End {
  if (!end)
    throw new Fault(`nothing is called "${text}"`, {
      mend: elsewhere(cluster, text) || 'NAMESPACE/POD, deploy/NAME, svc/NAME, node/NAME or an address',
      exitCode: 2,
    });
  if (end.kind !== 'service') return end;
  const [ip] = headless(cluster, end);
  const pod = ip === undefined ? undefined : findEnd(cluster, ip, 'default');
  if (pod?.kind === 'pod') return { ...pod, ips: (pod.pod.status?.podIPs ?? []).map((each) => each.ip) };
  throw new Fault(`no pod is behind ${endName(end)}: nobody would send`);
}

/** Addresses of the endpoints that are ready. */
function headless(cluster: TracedCluster, end: Extract<End, { kind: 'service' }>): IP[] {
  const { namespace, name } = end.service.metadata;
  const slices = cluster.slices.get(`${namespace}/${name}`) ?? [];
  const ready = slices
    .flatMap(({ endpoints = [] }) => endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false);
  return ready.flatMap(({ addresses }) => addresses.slice(0, 1));
}

/** Node leaves colours out where the output is no terminal, or NO_COLOR is set. */
const paint: Paint = {
  good: (text) => styleText('green', text, { stream: process.stdout }),
  bad: (text) => styleText('red', text, { stream: process.stdout }),
  dim: (text) => styleText('dim', text, { stream: process.stdout }),
};
