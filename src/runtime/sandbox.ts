// Room runtime: a pod's sandbox: network, UTS and IPC namespaces pinned to files. No process holds them, so none can die.
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { CLONE, setns } from '../sys/mount.ts';
import {
  createNamespaces,
  exposeNamespace,
  inNetns,
  isPinned,
  type NamespacePaths,
  openNamespace,
  removeNamespace,
} from '../sys/netns.ts';
import { unmountIfMounted } from './mounts.ts';
import { type RuntimePaths, sandboxNetns, sandboxPaths } from './paths.ts';
import { writeRecord } from './record.ts';
import type { Sandbox, SandboxSpec } from './runtime.ts';

export interface SandboxOptions {
  readonly clusterName: string;
  readonly nodeNetns?: string;
}

/** The record comes first, so that whatever is pinned after it is found and taken away. Pins that are all there are kept. */
export function createSandbox(
  options: SandboxOptions,
  paths: RuntimePaths,
  spec: SandboxSpec,
  earlier: Sandbox | undefined,
): Sandbox {
  const { record, uts, ipc } = sandboxPaths(paths, spec.id);
  const netns = spec.hostNetwork
    ? (options.nodeNetns ?? '/proc/1/ns/net')
    : sandboxNetns(options.clusterName, paths, spec.id);
  const wanted: NamespacePaths = spec.hostNetwork ? { uts, ipc } : { net: netns, uts, ipc };
  const pins = Object.values(wanted) as string[];
  if (earlier && pins.every(isPinned)) {
    // After a restart this thread may be in a mount namespace that has not seen them.
    for (const pin of pins) exposeNamespace(pin);
    return earlier;
  }
  const sandbox: Sandbox = { ...spec, netns, createdAt: earlier?.createdAt ?? new Date().toISOString() };
  writeRecord(record, sandbox);
  for (const pin of pins) removeNamespace(pin);
  createNamespaces(wanted);
  setHostname(uts, spec.hostname);
  if (!spec.hostNetwork) inNetns(netns, setPodSysctls);
  return sandbox;
}

/** /proc/sys/kernel/hostname is that of the thread which writes it. */
function setHostname(uts: string, hostname: string): void {
  const home = openSync('/proc/thread-self/ns/uts', 'r');
  const there = openNamespace(uts);
  try {
    setns(there, CLONE.NEWUTS, uts);
    writeFileSync('/proc/sys/kernel/hostname', hostname);
  } finally {
    setns(home, CLONE.NEWUTS);
    closeSync(there);
    closeSync(home);
  }
}

/** What containerd sets: any user may ping and listen on low ports. */
function setPodSysctls(): void {
  writeFileSync('/proc/sys/net/ipv4/ping_group_range', '0 2147483647');
  writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '0');
}

/** Its containers are gone already. Succeeds when it is gone too. */
export function deleteSandbox(options: SandboxOptions, paths: RuntimePaths, id: string): void {
  const { dir, uts, ipc, shm } = sandboxPaths(paths, id);
  unmountIfMounted(shm);
  // Never the node's own, whatever the record says: a name made from the sandbox's id.
  for (const pin of [sandboxNetns(options.clusterName, paths, id), uts, ipc]) removeIfThere(pin);
  rmSync(dir, { recursive: true, force: true });
}

function removeIfThere(pin: string): void {
  try {
    removeNamespace(pin);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
