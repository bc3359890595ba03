// Room runtime: what a container's root may do (capabilities(7)).
import { readFileSync } from 'node:fs';
import type { ContainerSpec } from './runtime.ts';

/** In the order of their numbers (linux/capability.h). */
const NAMES = [
  ...['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP'],
  ...['LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER'],
  ...['SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE'],
  ...['SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP'],
  ...['MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF'],
  'CHECKPOINT_RESTORE',
].map((name) => `CAP_${name}`);

/** What containerd gives a container that asks for nothing. */
const DEFAULT = new Set(
  [
    ...['CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'MKNOD', 'NET_RAW', 'SETGID', 'SETUID', 'SETFCAP', 'SETPCAP'],
    ...['NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE'],
  ].map((name) => `CAP_${name}`),
);

let own: string[] | undefined;

/** Those that we could hand on at all: a machine's bounding set may lack some. */
export function ownCapabilities(): readonly string[] {
  own ??= readBoundingSet();
  return own;
}

function readBoundingSet(): string[] {
  const mask = /^CapBnd:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1];
  return NAMES.filter((_, number) => (BigInt(`0x${mask}`) >> BigInt(number)) & 1n);
}

/** Pure. Kubernetes' names lack the prefix; `ALL` is every one. What is dropped and added is added. */
export function capabilities(
  spec: Pick<ContainerSpec, 'privileged' | 'addCapabilities' | 'dropCapabilities'>,
  available: readonly string[],
): string[] {
  if (spec.privileged) return [...available];
  const names = (list: readonly string[] = []) =>
    new Set(list.map((name) => (name.startsWith('CAP_') ? name : `CAP_${name}`)));
  const [added, dropped] = [names(spec.addCapabilities), names(spec.dropCapabilities)];
  const all = (list: ReadonlySet<string>) => list.has('CAP_ALL');
  return available.filter((name) => {
    if (added.has(name) || all(added)) return all(added) ? !dropped.has(name) : true;
    return DEFAULT.has(name) && !dropped.has(name) && !all(dropped);
  });
}
