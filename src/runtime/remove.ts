// Room runtime: clears a node's runtime away, without its agent: kills what it holds, unpins namespaces. For `down`.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { removeCgroup } from '../kernel/cgroup.ts';
import { podCgroupName, runtimePaths } from './paths.ts';
import { createdProcess, findHolders, hasLetGo, killGroup, sendSignal } from './processes.ts';
import { type ContainerRecord, listDir, readRecords } from './record.ts';
import type { Sandbox } from './runtime.ts';
import { deleteSandbox } from './sandbox.ts';

export interface NodeToRemove {
  readonly stateDir: string;
  readonly clusterName: string;
  readonly nodeNetns?: string;
}

/**
 * First a signal to all, then the wait for all. Ends only processes that are ours: conmons by their bundle's path, containers
 * by pid and start time. Mounts end with the last process of the node's mount namespace. Succeeds when all is gone already.
 */
export async function removeNodeRuntime(node: NodeToRemove): Promise<void> {
  const paths = runtimePaths(node.stateDir);
  const { records } = readRecords<ContainerRecord>(paths.containers);
  const holders = [...findHolders(paths.containers).values()].flat();
  const recorded = records.flatMap(({ init, conmon }) => [init, conmon]);
  for (const holder of holders) killGroup(holder);
  for (const held of recorded) sendSignal(held, 'SIGKILL');
  await Promise.all([...holders, ...recorded].map((held) => hasLetGo(held)));
  // Made by a runtime in the moment in which its conmon was killed, or whose record was never written.
  const made = listDir(paths.oci).map((id) => createdProcess(join(paths.oci, id)));
  for (const init of made) sendSignal(init, 'SIGKILL');
  await Promise.all(made.map((init) => hasLetGo(init)));
  const sandboxes = readRecords<Sandbox>(paths.sandboxes);
  const ids = [...sandboxes.records.map(({ id }) => id), ...sandboxes.incomplete];
  for (const id of ids) deleteSandbox(node, paths, id);
  await removeCgroup(podCgroupName(node.clusterName, node.stateDir));
  rmSync(paths.base, { recursive: true, force: true });
}
