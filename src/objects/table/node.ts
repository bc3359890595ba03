// Room objects: columns of Nodes and Namespaces.
import type { Namespace, Node } from '../types.ts';
import { AGE, type Column, column, NAME, NONE, WIDE } from './column.ts';

export const namespaceColumns: readonly Column<Namespace>[] = [
  NAME,
  column('Status', ({ status }) => status?.phase ?? ''),
  AGE,
];

function statusOf({ spec, status }: Node): string {
  const ready = (status?.conditions ?? []).find(({ type }) => type === 'Ready');
  const words = [ready ? (ready.status === 'True' ? 'Ready' : 'NotReady') : 'Unknown'];
  if (spec?.unschedulable) words.push('SchedulingDisabled');
  return words.join(',');
}

const ROLE_PREFIX = 'node-role.kubernetes.io/';
const ROLE = 'kubernetes.io/role';

function rolesOf({ metadata }: Node): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (key.startsWith(ROLE_PREFIX) && key.length > ROLE_PREFIX.length) roles.add(key.slice(ROLE_PREFIX.length));
    else if (key === ROLE && value) roles.add(value);
  }
  return [...roles].sort().join(',') || NONE;
}

function addressOf(type: string): (node: Node) => string {
  return ({ status }) => (status?.addresses ?? []).find((address) => address.type === type)?.address ?? NONE;
}

function infoOf(field: 'osImage' | 'kernelVersion' | 'containerRuntimeVersion'): (node: Node) => string {
  return ({ status }) => status?.nodeInfo?.[field] || '<unknown>';
}

export const nodeColumns: readonly Column<Node>[] = [
  NAME,
  column('Status', statusOf),
  column('Roles', rolesOf),
  AGE,
  column('Version', ({ status }) => status?.nodeInfo?.kubeletVersion ?? ''),
  column('Internal-IP', addressOf('InternalIP'), WIDE),
  column('External-IP', addressOf('ExternalIP'), WIDE),
  column('OS-Image', infoOf('osImage'), WIDE),
  column('Kernel-Version', infoOf('kernelVersion'), WIDE),
  column('Container-Runtime', infoOf('containerRuntimeVersion'), WIDE),
];
