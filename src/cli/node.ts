// Room cli: `podwire node add | rm | stop | start | kill | isolate | heal`.
import { tellControl } from '../cluster/control.ts';
import { knownCluster, noDaemon } from '../cluster/known.ts';
import { clusterPaths } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';

export type NodeVerb = 'add' | 'rm' | 'stop' | 'start' | 'kill' | 'isolate' | 'heal';

const DONE: Readonly<Record<NodeVerb, string>> = {
  add: 'is there and Ready',
  rm: 'is gone',
  stop: 'is stopped; its containers go on',
  start: 'is Ready again',
  kill: 'has lost its agent; its containers and its rules go on, and another agent starts in a moment',
  isolate: 'is cut off from the fabric',
  heal: 'is on the fabric again, and Ready',
};

const DEAD = 'has no agent until podwire node start; its containers and its rules go on';

/** `node` is undefined for `add`, which names the new one itself. */
export async function runNodeVerb(
  verb: NodeVerb,
  node: string | undefined,
  flags: { readonly name: string; readonly stay?: boolean },
): Promise<void> {
  requireRoot();
  const { control } = clusterPaths(knownCluster(flags.name));
  const done = await tellControl<{ readonly node: string }>(control, 'node', { verb, node, stay: flags.stay });
  if (!done) throw noDaemon(flags.name);
  console.log(`${done.node} ${flags.stay ? DEAD : DONE[verb]}.`);
}
