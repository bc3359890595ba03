// Room runtime: where a node's runtime keeps what must outlive our process.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { netnsPath } from '../sys/netns.ts';

export interface RuntimePaths {
  readonly base: string;
  readonly sandboxes: string;
  readonly containers: string;
  /** conmon writes one file for each container that ends: its exit code in digits. */
  readonly exits: string;
  /** State of the OCI runtime (its --root). */
  readonly oci: string;
}

export function runtimePaths(stateDir: string): RuntimePaths {
  const base = join(stateDir, 'runtime');
  return {
    base,
    sandboxes: join(base, 'sandboxes'),
    containers: join(base, 'containers'),
    exits: join(base, 'exits'),
    oci: join(base, 'oci'),
  };
}

/** The cgroup of a node's pods, where a cluster wants one. */
export function podCgroupName(clusterName: string, stateDir: string): string {
  return `pw-${clusterName}-${createHash('sha256').update(stateDir).digest('hex').slice(0, 10)}`;
}

export interface SandboxPaths {
  readonly dir: string;
  readonly record: string;
  readonly uts: string;
  readonly ipc: string;
  /** /dev/shm of all containers of the pod. */
  readonly shm: string;
}

export function sandboxPaths(paths: RuntimePaths, id: string): SandboxPaths {
  const dir = join(paths.sandboxes, id);
  return { dir, record: join(dir, 'record.json'), uts: join(dir, 'uts'), ipc: join(dir, 'ipc'), shm: join(dir, 'shm') };
}

/** What `ip netns` shows. A hash, because ids are long, and the nodes of a machine share the directory. */
export function sandboxNetns(clusterName: string, paths: RuntimePaths, id: string): string {
  const short = createHash('sha256').update(`${paths.base}/${id}`).digest('hex').slice(0, 10);
  return netnsPath(`pw-${clusterName}-${short}`);
}

export interface ContainerPaths {
  /** Also the OCI bundle. */
  readonly dir: string;
  readonly record: string;
  readonly config: string;
  readonly rootfs: string;
  readonly upper: string;
  readonly work: string;
  readonly pid: string;
  readonly conmonPid: string;
  readonly conmonLog: string;
  /** conmon's: lines `1 <rows> <columns>` set the terminal's size. */
  readonly control: string;
  readonly attach: string;
  readonly exit: string;
  readonly oci: string;
}

export function containerPaths(paths: RuntimePaths, id: string): ContainerPaths {
  const dir = join(paths.containers, id);
  return {
    dir,
    record: join(dir, 'record.json'),
    config: join(dir, 'config.json'),
    rootfs: join(dir, 'rootfs'),
    upper: join(dir, 'upper'),
    work: join(dir, 'work'),
    pid: join(dir, 'pid'),
    conmonPid: join(dir, 'conmon.pid'),
    conmonLog: join(dir, 'conmon.log'),
    control: join(dir, 'ctl'),
    attach: join(dir, 'attach'),
    exit: join(paths.exits, id),
    oci: join(paths.oci, id),
  };
}
