// Room runtime: clears a node's runtime away, without its agent: kills what it holds, unpins namespaces. For `down`.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { runtimePaths } from './paths.ts';
import { ended, findHolders, recordProcess, sendSignal } from './processes.ts';
import { type ContainerRecord, type RecordedProcess, readRecords, readText } from './record.ts';
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
  const processes = records.flatMap(({ init, conmon }) => [init, conmon]).filter((held) => held !== undefined);
  for (const [id, holders] of findHolders(paths.containers))
    processes.push(...holders, ...initOf(paths.containers, id));
  // Containers before conmons only in the list: SIGKILL to all in one go leaves conmon no time to write anything.
  for (const held of processes) sendSignal(held, 'SIGKILL');
  await Promise.all(processes.map((held) => ended(held)));
  const sandboxes = readRecords<Sandbox>(paths.sandboxes);
  const ids = [...sandboxes.records.map(({ id }) => id), ...sandboxes.incomplete];
  for (const id of ids) deleteSandbox(node, paths, id);
  rmSync(paths.base, { recursive: true, force: true });
}

/** The pid file of a container whose conmon lives was written by that conmon. */
function initOf(containers: string, id: string): RecordedProcess[] {
  const pid = Number(readText(join(containers, id, 'pid')) ?? 0);
  const recorded = pid > 0 ? recordProcess(pid) : undefined;
  return recorded ? [recorded] : [];
}
