// Room node: where a pod's files lie in the node's directory of state, and the names by which the runtime knows its parts.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Pod } from '../objects/types.ts';

export function logsDir(stateDir: string): string {
  return join(stateDir, 'pods');
}

export function podLogDir(stateDir: string, { metadata }: Pick<Pod, 'metadata'>): string {
  return join(logsDir(stateDir), `${metadata.namespace}_${metadata.name}_${metadata.uid}`);
}

export function logPath(stateDir: string, pod: Pick<Pod, 'metadata'>, container: string, attempt: number): string {
  return join(podLogDir(stateDir, pod), container, `${attempt}.log`);
}

export function podDataDir(stateDir: string, uid?: string): string {
  return uid === undefined ? join(stateDir, 'pod-data') : join(stateDir, 'pod-data', uid);
}

export function volumeDir(dataDir: string, volume: string): string {
  return join(dataDir, 'volumes', volume);
}

export function etcPath(dataDir: string, file: 'hosts' | 'hostname' | 'resolv.conf'): string {
  return join(dataDir, 'etc', file);
}

export function terminationPath(dataDir: string, container: string, attempt: number): string {
  return join(dataDir, 'termination', `${container}-${attempt}`);
}

export function sandboxId(uid: string): string {
  return `${uid}-0`;
}

export function podUidOf(sandbox: string): string {
  return sandbox.slice(0, sandbox.lastIndexOf('-'));
}

/** 32 hexadecimal digits: short enough for the paths of unix sockets. */
export function containerId(sandbox: string, name: string, attempt: number): string {
  return createHash('sha256').update(`${sandbox}/${name}/${attempt}`).digest('hex').slice(0, 32);
}
