// Room cli: `podwire policy recommend`: NetworkPolicies that allow what was seen, and nothing else, ready for kubectl apply.
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { requireRoot } from '../cluster/root.ts';
import { watchFlows } from '../cluster/seen-flows.ts';
import type { DraftObject } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import type { PolicyEngine } from '../plan/policy/engine.ts';
import { judge } from '../plan/policy/judge.ts';
import { recommend } from '../plan/policy/recommend.ts';
import { flowsOfFile } from './flow-file.ts';
import { ofObjects, policyObjects } from './policy-source.ts';

interface RecommendFlags {
  readonly name: string;
  readonly namespace?: readonly string[];
  readonly filename?: string;
  readonly for: string;
  readonly fromFile?: string;
  readonly record?: string;
  readonly dns: boolean;
  readonly output: string;
}

export async function runPolicyRecommend(flags: RecommendFlags): Promise<void> {
  if (flags.filename !== undefined && flags.fromFile === undefined)
    throw new Fault('manifests send nothing', { mend: '--from-file FLOWS goes with -f', exitCode: 2 });
  const duration = milliseconds(flags.for);
  const { objects, dns } = await policyObjects(flags);
  const { engine, directory } = ofObjects(objects, dns);
  requirePods(flags.namespace ?? [], engine);
  const flows =
    flags.fromFile === undefined
      ? await watched(flags.name, objects, engine, duration)
      : flowsOfFile(flags.fromFile, engine);
  if (flags.record !== undefined)
    writeFileSync(flags.record, flows.map((flow) => `${JSON.stringify(flow)}\n`).join(''));
  const namespaces = flags.namespace && { namespaces: flags.namespace };
  const { policies, warnings } = recommend(engine, directory, flows, { ...namespaces, dns: flags.dns });
  for (const warning of warnings) console.error(`podwire: ${warning}`);
  const after = ofObjects([...objects, ...policies.map(({ policy }) => policy as unknown as DraftObject)], dns).engine;
  const lost = flows.filter((flow) => judge(engine, flow).allowed && !judge(after, flow).allowed);
  // What the recommended policies would cut themselves must not go unsaid.
  for (const { from, to, protocol, port } of lost)
    console.error(`podwire: not allowed by these: ${from} -> ${to} ${protocol} ${port}`);
  if (flags.output === 'json')
    console.log(
      JSON.stringify(
        policies.map(({ policy }) => policy),
        undefined,
        2,
      ),
    );
  else {
    const texts = policies.map(
      ({ notes, policy }) =>
        `${notes.map((note) => `# ${note}\n`).join('')}${stringify(policy, { aliasDuplicateObjects: false })}`,
    );
    process.stdout.write(texts.join('---\n'));
  }
}

/** Before anything is waited for. */
function requirePods(namespaces: readonly string[], { pods }: PolicyEngine): void {
  const known = new Set([...pods.values()].map(({ namespace }) => namespace));
  const empty = namespaces.find((namespace) => !known.has(namespace));
  if (empty === undefined) return;
  throw new Fault(`no pod is in namespace ${empty}`, {
    mend: `there are pods in ${[...known].join(', ')}`,
    exitCode: 2,
  });
}

/** `30s`, `2m`, `0s` for what is tracked at this moment. */
function milliseconds(text: string): number {
  const [, number, unit = 's'] = /^(\d+(?:\.\d+)?)(s|m|h)?$/.exec(text) ?? [];
  if (number === undefined) throw new Fault(`--for ${text} is no time such as 30s or 5m`, { exitCode: 2 });
  return Number(number) * { s: 1000, m: 60_000, h: 3_600_000 }[unit as 's' | 'm' | 'h'];
}

async function watched(cluster: string, objects: readonly DraftObject[], engine: PolicyEngine, duration: number) {
  requireRoot();
  const nodes = objects.filter(({ kind }) => kind === 'Node').map(({ metadata }) => metadata.name!);
  console.error(`podwire: looking at connections of ${nodes.length} nodes for ${duration / 1000} s`);
  const flows = await watchFlows(cluster, nodes, engine, duration, (count) => {
    if (process.stderr.isTTY) process.stderr.write(`\r${count} flows `);
  });
  if (process.stderr.isTTY) process.stderr.write('\n');
  else console.error(`podwire: ${flows.length} flows`);
  return flows;
}
