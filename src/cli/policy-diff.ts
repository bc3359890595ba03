// Room cli: `podwire policy diff`: what a change of policies would allow and deny, before it is applied: of all pairs of pods, or of flows that were seen.
import type { DraftObject } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import { differenceOf } from '../plan/policy/difference.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import { verdictText } from '../plan/policy/explain.ts';
import { judge } from '../plan/policy/judge.ts';
import { allowedText } from '../plan/policy/matrix.ts';
import type { SeenFlow } from '../plan/policy/recommend.ts';
import { MODE } from '../plan/policy/rules.ts';
import { flowsOfFile } from './flow-file.ts';
import { ofObjects, policyObjects, readManifests } from './policy-source.ts';
import { formatTable } from './table.ts';

interface DiffFlags {
  readonly name: string;
  readonly filename?: string;
  readonly base?: string;
  readonly flows?: string;
  /** As if what is staged were in force. */
  readonly staged?: boolean;
  readonly output: string;
}

/** Manifests are laid over the cluster or over other manifests. Exit code 3: something would change. */
export async function runPolicyDiff({ name, base, filename, flows, staged, output }: DiffFlags): Promise<void> {
  if (filename === undefined && !staged)
    throw new Fault('what is to change?', { mend: 'podwire policy diff -f NEW, or --staged', exitCode: 2 });
  const { objects, dns } = await policyObjects({ name, ...(base !== undefined && { filename: base }) });
  const before = ofObjects(objects, dns).engine;
  const news = filename === undefined ? [] : readManifests(filename).filter(isNews(objects));
  const then = [...objects, ...news];
  const after = ofObjects(staged ? then.map(inForce) : then, dns).engine;
  const changes = flows === undefined ? ofPods(before, after) : ofFlows(flowsOfFile(flows, before), before, after);
  if (output === 'json') console.log(JSON.stringify(changes.data, undefined, 2));
  else if (changes.data.length === 0) console.log(changes.none);
  else console.log(formatTable(changes.rows));
  if (changes.data.length > 0) process.exitCode = 3;
}

/** Without the annotation for a dry run. */
function inForce(object: DraftObject): DraftObject {
  const { [MODE]: _, ...annotations } = object.metadata.annotations ?? {};
  return { ...object, metadata: { ...object.metadata, annotations } };
}

/** Pods that are there have addresses, which those of manifests have not. */
function isNews(objects: readonly DraftObject[]): (object: DraftObject) => boolean {
  const key = ({ kind, metadata }: DraftObject) => `${kind} ${metadata.namespace ?? 'default'}/${metadata.name}`;
  const known = new Set(objects.filter(({ kind }) => kind === 'Pod').map(key));
  return (object) => !known.has(key(object));
}

interface Changes {
  readonly data: readonly object[];
  readonly rows: readonly (readonly string[])[];
  readonly none: string;
}

function ofPods(before: PolicyEngine, after: PolicyEngine): Changes {
  const data = differenceOf(before, after);
  const rows = data.map((each) => [each.from, each.to, allowedText(each.before), allowedText(each.after)]);
  const none = 'Nothing would be allowed or denied that is not now.';
  return { data, rows: [['FROM', 'TO', 'NOW', 'THEN'], ...rows], none };
}

function ofFlows(flows: readonly SeenFlow[], before: PolicyEngine, after: PolicyEngine): Changes {
  const data = flows.flatMap((flow) => {
    const [was, then] = [judge(before, flow), judge(after, flow)];
    const [from, to] = [flow.from, flow.to].map((ip) => before.podAt(ip)?.key ?? ip) as [string, string];
    const why = verdictText(then).find((line) => line.includes(then.allowed ? ' allowed by ' : ' denied')) ?? '';
    const { protocol, port } = flow;
    return was.allowed === then.allowed
      ? []
      : [{ from, to, protocol, port, before: was.allowed, after: then.allowed, why }];
  });
  const word = (allowed: boolean) => (allowed ? 'allowed' : 'denied');
  const rows = data.map(({ from, to, protocol, port, before, after, why }) => [
    from,
    to,
    `${protocol} ${port}`,
    word(before),
    word(after),
    why.replace(/^(\w+) +/, '$1 '),
  ]);
  const none = `None of ${flows.length} flows would be allowed or denied that is not now.`;
  return { data, rows: [['FROM', 'TO', 'PORT', 'NOW', 'THEN', 'WHY'], ...rows], none };
}
