// Room cli: `podwire policy test`: expectations held against real packets of a running cluster, or against the engine's word.
import { Client } from '../client/client.ts';
import { openKubeconfig } from '../client/kubeconfig.ts';
import { clusterPaths } from '../cluster/paths.ts';
import { type PlacedPod, placeOfPod } from '../cluster/pod-place.ts';
import { Canary } from '../cluster/policy-test/canary.ts';
import { Listeners } from '../cluster/policy-test/listeners.ts';
import { holdAgainstPackets } from '../cluster/policy-test/run.ts';
import { requireRoot } from '../cluster/root.ts';
import type { DraftObject, Node, Pod } from '../objects/types.ts';
import { Fault } from '../observe/fault.ts';
import { staticOutcome } from '../plan/policy/cases.ts';
import { type Expectation, junitText, type Outcome, tapText } from '../plan/policy/expectations.ts';
import { readExpectations } from './expectation-file.ts';
import { ofObjects, policyObjects } from './policy-source.ts';

interface TestFlags {
  readonly name: string;
  readonly namespace: string;
  readonly filename?: string;
  readonly output: string;
  readonly static?: boolean;
  readonly listen: boolean;
  readonly silence: string;
}

/** So many nodes have a canary; one on each of more would take longer than it tells. */
const MOST_NODES = 16;
const NOT_ENFORCED = 4;

/** Exit code 2: a wrong call; 3: an expectation does not hold; 4: the canary's own deny is not enforced, nothing is proven. */
export async function runPolicyTest(files: readonly string[], flags: TestFlags): Promise<void> {
  const expectations = files.flatMap((file) => readExpectations(file, flags.namespace));
  const silence = Number(flags.silence) * 1000;
  if (!(silence > 0)) throw new Fault(`--silence ${flags.silence} is no number of seconds`, { exitCode: 2 });
  const isStatic = flags.static === true || flags.filename !== undefined;
  if (!isStatic) requireRoot();
  const { objects, dns } = await policyObjects(flags);
  if (isStatic) {
    const { engine, directory } = ofObjects(objects, dns);
    return report(
      expectations.map((each) => staticOutcome(each, engine, directory)),
      [],
      flags.output,
    );
  }
  const { canary, outcomes } = await withPackets(expectations, objects, dns, { ...flags, silence });
  report(outcomes, canary, flags.output);
}

async function withPackets(
  expectations: readonly Expectation[],
  objects: readonly DraftObject[],
  dns: readonly string[],
  { name: cluster, listen, silence }: { name: string; listen: boolean; silence: number },
) {
  const client = new Client(openKubeconfig(clusterPaths(cluster).kubeconfig));
  using listeners = new Listeners();
  const { engine, directory } = ofObjects(objects, dns);
  try {
    await using bird = new Canary(client, (pod) => placeOfPod(cluster, pod), listeners);
    const interrupted = cleanUpWhenInterrupted(bird);
    const run = { cluster, engine, directory, places: runningPods(objects), listeners, listen, silence };
    const [canary, outcomes] = await Promise.all([bird.fly(nodesOf(objects)), holdAgainstPackets(expectations, run)]);
    interrupted[Symbol.dispose]();
    return { canary, outcomes };
  } finally {
    client.transport.close();
  }
}

function cleanUpWhenInterrupted(bird: AsyncDisposable): Disposable {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const stop = () => {
    const end = () => process.exit(130);
    bird[Symbol.asyncDispose]().then(end, end);
  };
  for (const signal of signals) process.once(signal, stop);
  return {
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, stop);
    },
  };
}

export function runningPods(objects: readonly DraftObject[]): Map<string, PlacedPod> {
  const running = objects.filter(({ kind }) => kind === 'Pod').map((object) => object as unknown as Pod);
  return new Map(
    running.flatMap(({ metadata, spec, status }) => {
      if (status?.phase !== 'Running' || !spec.nodeName) return [];
      const place = { uid: metadata.uid, node: spec.nodeName, hostNetwork: spec.hostNetwork ?? false };
      return [[`${metadata.namespace}/${metadata.name}`, place] as const];
    }),
  );
}

/** Those that are Ready, and of them those that have pods first. */
function nodesOf(objects: readonly DraftObject[]): string[] {
  const busy = new Set([...runningPods(objects).values()].map(({ node }) => node));
  const ready = objects.filter(({ kind }) => kind === 'Node').map((object) => object as unknown as Node);
  const names = ready
    .filter(({ status }) => status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'))
    .map(({ metadata }) => metadata.name)
    .sort((a, b) => Number(busy.has(b)) - Number(busy.has(a)) || (a < b ? -1 : 1));
  if (names.length === 0) throw new Fault('no node of the cluster is Ready', { mend: 'podwire status' });
  return names.slice(0, MOST_NODES);
}

function report(outcomes: readonly Outcome[], canary: readonly Outcome[], output: string): void {
  const all = [...canary, ...outcomes];
  if (output === 'json') console.log(JSON.stringify(all, undefined, 2));
  else console.log(output === 'junit' ? junitText(all) : tapText(all));
  const isDead = canary.some(({ ok }) => !ok);
  if (isDead && output === 'tap')
    console.log('Bail out! the canary was not stopped: whatever passed above proves nothing');
  if (isDead)
    console.error(
      'podwire: policies are not enforced on this cluster as they should be, or one of an earlier tier decides for all namespaces: see the canary',
    );
  const clashes = outcomes.filter(({ disagrees }) => disagrees);
  if (clashes.length > 0) {
    console.error(`podwire: policies and packets DISAGREE in ${clashes.length} of ${outcomes.length}:`);
    for (const { name } of clashes) console.error(`  ${name}`);
  }
  if (isDead) process.exitCode = NOT_ENFORCED;
  else if (outcomes.some(({ ok }) => !ok)) process.exitCode = 3;
}
