// Room cli: `podwire node add | rm | stop | start | kill | isolate | heal`.
import { existsSync } from 'node:fs';
import { tellControl } from '../cluster/control.ts';
import { clusterPaths } from '../cluster/paths.ts';
import { requireRoot } from '../cluster/root.ts';
import { Fault } from '../observe/fault.ts';

export type NodeVerb = 'add' | 'rm' | 'stop' | 'start' | 'kill' | 'isolate' | 'heal';

const DONE: Readonly<Record<NodeVerb, string>> = {
  add: 'is there and Ready',
  rm: 'is gone',
  stop: 'is stopped; its containers go on',
  start: 'is Ready again',
  kill: 'has lost its agent; its containers and its rules go on',
  isolate: 'is cut off from the fabric',
  heal: 'is on the fabric again, and Ready',
};

/** `node` is undefined for `add`, which names the new one itself. */
export async function runNodeVerb(
  verb: NodeVerb,
  node: string | undefined,
  flags: { readonly name: string; readonly stay?: boolean },
): Promise<void> {
  requireRoot();
  const paths = clusterPaths(flags.name);
  if (!existsSync(paths.dir)) throw new Fault(`there is no cluster ${flags.name}`, { mend: 'podwire up starts one' });
  const done = await tellControl<{ readonly node: string }>(paths.control, 'node', { verb, node, stay: flags.stay });
  if (!done) {
    throw new Fault(`the daemon of cluster ${flags.name} is not running`, {
      mend: `podwire up --name ${flags.name} takes up what runs`,
    });
  }
  console.log(`${done.node} ${DONE[verb]}.`);
}
