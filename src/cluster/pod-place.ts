// Room cluster: where a pod or a node of a running cluster is on this machine: its network namespace, its cgroup, its files in /etc.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cgroup2Root } from '../kernel/cgroup.ts';
import { podDataDir, sandboxId } from '../node/pod-paths.ts';
import { podCgroupName, runtimePaths, sandboxNetns } from '../runtime/paths.ts';
import { netnsPath } from '../sys/netns.ts';
import { guestNetns, isGuest } from './guests.ts';
import { netnsName } from './layout.ts';
import { nodeDir } from './paths.ts';

export interface Place {
  /** Path of its network namespace. */
  readonly netns: string;
  /** Of whose sockets Services are translated; absent: no packets' business of the socket's. */
  readonly cgroup?: string;
}

export interface PlacedPod {
  readonly uid: string;
  readonly node: string;
  readonly hostNetwork: boolean;
}

/** Nothing is looked up: a pod that has not started yet has no namespace there. */
export function placeOfPod(cluster: string, { uid, node, hostNetwork }: PlacedPod): Place {
  if (hostNetwork) return placeOfNode(cluster, node);
  // Another runtime's: its sockets are in no cgroup of ours.
  if (isGuest(uid)) return { netns: guestNetns(cluster, node, uid) ?? '' };
  const stateDir = nodeDir(cluster, node);
  const netns = sandboxNetns(cluster, runtimePaths(stateDir), sandboxId(uid));
  const root = cgroup2Root();
  const cgroup = root && join(root, podCgroupName(cluster, stateDir));
  return { netns, ...(cgroup !== undefined && existsSync(cgroup) && { cgroup }) };
}

export function placeOfNode(cluster: string, node: string): Place {
  return { netns: netnsPath(netnsName(cluster, node)) };
}

export function etcDirOf(cluster: string, { uid, node }: PlacedPod): string {
  return podDataDir(nodeDir(cluster, node), uid);
}
